"""`flask accounts remove`: let a person in no more."""

from __future__ import annotations

import click

from commands.acting import acting
from commands.parts import with_parts

from .options import Parts


@click.command("remove", short_help="Let a person in no more.")
@click.argument("name")
@with_parts
def command(parts: Parts, name: str) -> None:
    """Remove the account of the person NAME, and end all its sessions. What the person did stays in the audit."""
    parts.people.accounts.remove(name, by=acting())
    click.echo(f"{name} may sign in no more.")
