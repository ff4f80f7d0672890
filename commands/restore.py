"""`flask restore FILE`: a backup takes the catalogue's place."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import click

from .backup import described
from .parts import with_parts

if TYPE_CHECKING:
    from recordings.catalogue.database import Database
    from settings import Settings


class Parts(Protocol):
    """What this command uses."""

    @property
    def database(self) -> Database: ...
    @property
    def settings(self) -> Settings: ...


@click.command("restore", short_help="Put a backup in the catalogue's place.")
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--replace", is_flag=True, help="Also where the catalogue has recordings, or cannot be read.")
@with_parts
def command(parts: Parts, file: Path, replace: bool) -> None:
    """Put the backup FILE, which `flask backup` made, in the catalogue's place. Stop the app and its workers before.

    FILE is checked first, and stays as it is. The former catalogue is moved aside, and the last line says where it is.
    What was stored after the backup is brought back by `flask recordings import`. For a catalogue in SQLite; on
    Postgres the command says how pg_restore does it.
    """
    from recordings.care.backup import restore

    restored = restore(parts.database, file, replace=replace)
    click.echo(f"The catalogue holds {described(restored.snapshot)}.")
    for storage in parts.settings.storage_url:
        click.echo(f"For what was stored after the backup: flask recordings import {storage}")
    if restored.former is not None:
        click.echo(f"The former catalogue is {restored.former}: delete it once you do not need it any more.")
