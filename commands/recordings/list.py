"""`flask recordings list`: the recordings, newest first, where each lies, or why it does not lie there yet."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import UTC, datetime
from itertools import chain
from typing import TYPE_CHECKING, Any, Protocol

import click

from commands.parts import visible, with_parts
from recordings.catalogue.as_json import as_json_object

from .options import chosen_filter, filter_options

if TYPE_CHECKING:
    from recordings.catalogue.database import Database
    from recordings.catalogue.search import RecordingRow

_COLUMNS = (
    *(("recording", 36), ("when", 20), ("from → to", 29), ("duration", 8), ("flow", 12), ("state", 8)),
    ("where, or why not", 0),
)


class Parts(Protocol):
    """What this command uses."""

    @property
    def database(self) -> Database: ...


@click.command("list", short_help="The recordings, newest first.")
@filter_options
@click.option("--limit", type=click.IntRange(min=1), help="No more than so many; without it, all.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@with_parts
def command(parts: Parts, /, limit: int | None, as_json: bool, **options: Any) -> None:
    """The recordings, newest first: all of them, or those that every given option chooses.

    A duration that begins with ~ is what Vonage announced; without it, it was measured. Exit code 0, also when there is
    no recording.
    """
    from recordings.catalogue import search

    filter = chosen_filter(options)
    rows = search.walk(parts.database, filter, limit=limit)
    if as_json:
        for row in rows:
            click.echo(json.dumps(as_json_object(row.recording) | {"seconds": row.seconds}))
    else:
        everything = filter == search.RecordingFilter(with_empty=True)
        _show_table(rows, "No recordings yet." if everything else "No such recordings.")


def _show_table(rows: Iterable[RecordingRow], nothing: str) -> None:
    """Each line is printed as it is read: the widths of the columns are chosen beforehand."""
    rows = iter(rows)
    first = next(rows, None)
    if first is None:
        click.echo(nothing, err=True)
        return
    click.echo(_line([title for title, _ in _COLUMNS]))
    click.echo(_line(["-" * (width or len(title)) for title, width in _COLUMNS]))
    for row in chain([first], rows):
        click.echo(_line(_cells(row)))


def _line(cells: Iterable[str]) -> str:
    return "  ".join(f"{visible(cell):{width}}" for cell, (_, width) in zip(cells, _COLUMNS, strict=True)).rstrip()


def _cells(row: RecordingRow) -> list[str]:
    recording = row.recording
    return [
        recording.recording_uuid,
        _moment(recording.start_time or recording.received_at),
        f"{recording.from_ or '-'} → {recording.to or '-'}",
        row.duration("~") or "-",
        recording.flow or "-",
        recording.state.value,
        "; ".join(dict.fromkeys(copy.error or copy.key or copy.storage for copy in recording.copies)) or "-",
    ]


def _moment(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%SZ")
