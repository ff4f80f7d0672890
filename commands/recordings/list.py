"""`flask recordings list`: every recording, where it lies, or why it does not lie there yet."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import TYPE_CHECKING, Protocol

import click

from commands.parts import with_parts
from recordings.clock import iso_utc
from recordings.model import Recording, State

from .as_json import as_json_object

if TYPE_CHECKING:
    from recordings.catalogue.database import Database


class Parts(Protocol):
    """What this command uses."""

    @property
    def database(self) -> Database: ...


@click.command("list")
@click.option("--state", type=click.Choice([state.value for state in State]), help="Only recordings in this state.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@with_parts
def command(parts: Parts, state: str | None, as_json: bool) -> None:
    """Every recording, oldest first. Exit code 0, also when there is none."""
    from recordings.catalogue import listing

    recordings = listing.listing(parts.database, state=State(state) if state else None)
    if as_json:
        for recording in recordings:
            click.echo(json.dumps(as_json_object(recording)))
    else:
        _show_table(recordings)


def _show_table(recordings: Iterable[Recording]) -> None:
    rows = [
        [
            recording.recording_uuid,
            recording.state.value,
            recording.flow or "-",
            iso_utc(recording.received_at.replace(microsecond=0)),
            "-" if recording.size is None else recording.size,
            "; ".join(dict.fromkeys(copy.error or copy.key or copy.storage for copy in recording.copies)) or "-",
        ]
        for recording in recordings
    ]
    if not rows:
        click.echo("No recordings yet.", err=True)
        return
    from tabulate import tabulate

    click.echo(tabulate(rows, headers=["recording", "state", "flow", "received", "size", "where, or why not"]))
