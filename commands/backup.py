"""`flask backup FILE`: a copy of the catalogue, made while everything runs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import click

from .parts import with_parts

if TYPE_CHECKING:
    from recordings.catalogue.database import Database
    from recordings.catalogue.snapshots import Snapshot


class Parts(Protocol):
    """What this command uses."""

    @property
    def database(self) -> Database: ...


@click.command("backup", short_help="Copy the catalogue into a file, while everything runs.")
@click.argument("file", type=click.Path(path_type=Path))
@with_parts
def command(parts: Parts, file: Path) -> None:
    """Copy the catalogue into a new FILE, as it is at this moment, while the app and its workers run.

    The file is whole or not there at all, and is checked before it gets its name. An existing file is not written over.
    For a catalogue in SQLite; on Postgres the command says how pg_dump does it. The recordings lie in the storage and
    are not in this file.
    """
    from recordings.care.backup import back_up

    click.echo(f"{file} holds {described(back_up(parts.database, file))}.")


def described(snapshot: Snapshot) -> str:
    """What a file holds, in words."""
    number = "1 recording" if snapshot.recordings == 1 else f"{snapshot.recordings} recordings"
    newest = f", the newest announced at {snapshot.newest:%Y-%m-%d %H:%M:%S} UTC" if snapshot.newest else ""
    return f"{number}{newest}"
