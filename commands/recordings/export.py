"""`flask recordings export`: the recordings that a filter chooses, as a table, as JSON lines, or with their audio."""

from __future__ import annotations

import csv
import io
import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Protocol

import click

from commands.parts import with_parts
from recordings.catalogue.as_json import as_json_object

from .access_notes import note_access
from .new_file import new_file
from .options import chosen_filter, filter_options

if TYPE_CHECKING:
    from recordings.catalogue.database import Database
    from recordings.catalogue.filters import RecordingFilter
    from recordings.catalogue.search import Found
    from recordings.storage import StorageBackend

_COLUMNS = (
    *("recording_uuid", "conversation_uuid", "state", "start_time", "end_time", "received_at", "from", "to"),
    *("direction", "flow", "format", "channels", "seconds", "size", "application_id", "storage", "key", "sha256"),
    "error",
)


class Parts(Protocol):
    """What this command uses."""

    @property
    def database(self) -> Database: ...
    @property
    def storages(self) -> Mapping[str, StorageBackend]: ...


Write = Callable[[Parts, Iterable["Found"], BinaryIO], list[str]]


@click.command("export", short_help="Recordings as CSV, as JSON lines, or with their audio.")
@click.option("--csv", "csv_file", type=click.Path(dir_okay=False, path_type=Path), help="A table, one line for each.")
@click.option("--jsonl", "jsonl_file", type=click.Path(dir_okay=False, path_type=Path), help="One JSON object a line.")
@click.option("--zip", "zip_file", type=click.Path(dir_okay=False, path_type=Path), help="Audio, sidecars, checksums.")
@filter_options
@with_parts
def command(
    parts: Parts, /, csv_file: Path | None, jsonl_file: Path | None, zip_file: Path | None, **options: Any
) -> None:
    """Write the recordings to a file, newest first: all of them, or those that every given option chooses.

    --zip holds each stored recording, read back and verified, its sidecar (.json), recordings.jsonl with all that is
    known of each, and SHA256SUMS, which `sha256sum -c SHA256SUMS` checks. A recording that is not stored is in
    recordings.jsonl alone. Exit code 1 when the audio of a stored recording could not be read; the others are written
    all the same.
    """
    formats: list[tuple[Path | None, Write]] = [(csv_file, _csv), (jsonl_file, _jsonl), (zip_file, _zip)]
    chosen = [(path, write) for path, write in formats if path is not None]
    if len(chosen) != 1:
        raise click.UsageError("Give one of --csv FILE, --jsonl FILE and --zip FILE.")
    path, write = chosen[0]
    problems = _export(parts, chosen_filter(options), path, write)
    for problem in problems:
        click.echo(problem, err=True)
    sys.exit(1 if problems else 0)


def _export(parts: Parts, filter: RecordingFilter, path: Path, write: Write) -> list[str]:
    """Write the file. Returns a sentence for each recording whose audio could not be read."""
    from recordings.catalogue.search import count_up_to, walk

    note_access(parts.database, "export", detail=path.suffix)
    number, capped = count_up_to(parts.database, filter)
    written = 0

    def counted(rows: Iterator[Found]) -> Iterator[Found]:
        nonlocal written
        for found in rows:
            yield found
            written += 1

    with new_file(path) as target, _progress(walk(parts.database, filter), None if capped else number) as rows:
        problems = write(parts, counted(rows), target)
    click.echo(f"{path}: {written} recordings.")
    return problems


@contextmanager
def _progress(rows: Iterator[Found], length: int | None) -> Iterator[Iterator[Found]]:
    """The same rows. They move a progress bar when stderr is a terminal."""
    if not sys.stderr.isatty():
        yield rows
        return
    with click.progressbar(rows, length=length, label="Exporting", file=sys.stderr, show_pos=True) as bar:
        yield iter(bar)


# --- The three formats -----------------------------------------------------------------------------------------------


def _jsonl(parts: Parts, rows: Iterable[Found], target: BinaryIO) -> list[str]:
    for found in rows:
        target.write(_line(found))
    return []


def _line(found: Found) -> bytes:
    return json.dumps(as_json_object(found.recording) | {"seconds": found.seconds}).encode() + b"\n"


def _csv(parts: Parts, rows: Iterable[Found], target: BinaryIO) -> list[str]:
    # With a byte-order mark, by which Excel knows that this is UTF-8.
    text = io.TextIOWrapper(target, encoding="utf-8-sig", newline="", write_through=True)
    writer = csv.writer(text)
    writer.writerow(_COLUMNS)
    for found in rows:
        writer.writerow(_cells(found))
    text.detach()
    return []


def _cells(found: Found) -> list[Any]:
    whole = as_json_object(found.recording) | {"seconds": found.seconds}
    of_copies = {
        name: "; ".join(str(copy[name]) for copy in whole["copies"] if copy[name] is not None)
        for name in ("storage", "key", "sha256", "error")
    }
    return [_harmless((whole | of_copies)[name]) for name in _COLUMNS]


def _harmless(value: Any) -> Any:
    """A caller chooses his name. A spreadsheet must not take it for a formula.

    https://owasp.org/www-community/attacks/CSV_Injection
    """
    if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r") and not value[1:].isdigit():
        return f"'{value}"
    return value


def _zip(parts: Parts, rows: Iterable[Found], target: BinaryIO) -> list[str]:
    from .zip_export import write_zip

    def note(found: Found) -> None:
        note_access(parts.database, "export", recording_id=found.id, detail=".zip")

    return write_zip(rows, parts.storages, target, note=note, line=_line)
