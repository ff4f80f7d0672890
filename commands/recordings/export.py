"""`flask recordings export`: the recordings that a filter chooses, as a table, as JSON lines, or with their audio."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Protocol

import click

from commands.parts import show, with_parts

from .access_notes import note_access
from .new_file import new_file
from .options import chosen_filter, filter_options

if TYPE_CHECKING:
    from recordings.catalogue.database import Database
    from recordings.catalogue.filters import RecordingFilter
    from recordings.catalogue.search import RecordingRow
    from recordings.storage import StorageBackend


class Parts(Protocol):
    """What this command uses."""

    @property
    def database(self) -> Database: ...
    @property
    def storages(self) -> Mapping[str, StorageBackend]: ...


Write = Callable[[Parts, Iterable["RecordingRow"], BinaryIO], list[str]]


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
        show(problem, err=True)
    sys.exit(1 if problems else 0)


def _export(parts: Parts, filter: RecordingFilter, path: Path, write: Write) -> list[str]:
    """Write the file. Returns a sentence for each recording whose audio could not be read."""
    from recordings.catalogue.search import count_up_to, walk

    note_access(parts.database, "export", detail=path.suffix)
    number, capped = count_up_to(parts.database, filter)
    written = 0

    def counted(rows: Iterator[RecordingRow]) -> Iterator[RecordingRow]:
        nonlocal written
        for row in rows:
            yield row
            written += 1

    with new_file(path) as target, _progress(walk(parts.database, filter), None if capped else number) as rows:
        problems = write(parts, counted(rows), target)
    click.echo(f"{path}: {written} recordings.")
    return problems


@contextmanager
def _progress(rows: Iterator[RecordingRow], length: int | None) -> Iterator[Iterator[RecordingRow]]:
    """The same rows. They move a progress bar when stderr is a terminal."""
    if not sys.stderr.isatty():
        yield rows
        return
    with click.progressbar(rows, length=length, label="Exporting", file=sys.stderr, show_pos=True) as bar:
        yield iter(bar)


# --- The three formats -----------------------------------------------------------------------------------------------


def _jsonl(parts: Parts, rows: Iterable[RecordingRow], target: BinaryIO) -> list[str]:
    from recordings.catalogue.exports import as_jsonl

    target.writelines(as_jsonl(rows))
    return []


def _csv(parts: Parts, rows: Iterable[RecordingRow], target: BinaryIO) -> list[str]:
    from recordings.catalogue.exports import as_csv

    target.writelines(as_csv(rows))
    return []


def _zip(parts: Parts, rows: Iterable[RecordingRow], target: BinaryIO) -> list[str]:
    from recordings.catalogue.exports import json_line

    from .zip_export import write_zip

    def note(row: RecordingRow) -> None:
        note_access(parts.database, "export", recording_id=row.id, detail=".zip")

    return write_zip(rows, parts.storages, target, note=note, line=json_line)
