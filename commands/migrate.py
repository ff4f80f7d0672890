"""`flask migrate`: bring the database's schema up to date."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import click

from .parts import with_parts

if TYPE_CHECKING:
    from recordings.catalogue.database import Database


class Parts(Protocol):
    """What this command uses."""

    @property
    def database(self) -> Database: ...


@click.command("migrate")
@with_parts
def command(parts: Parts) -> None:
    """Bring the database's schema up to date.

    Safe to run at any time and from several places at once. The app does the same when it first uses the database.
    """
    before, after = parts.database.migrate()
    if before == after:
        click.echo(f"The database is up to date, at revision {after}.")
    else:
        click.echo(f"The database went from {before or 'nothing'} to revision {after}.")
