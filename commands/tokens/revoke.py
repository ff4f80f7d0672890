"""`flask tokens revoke`: let a program use the API no more."""

from __future__ import annotations

import click

from commands.accounts.options import Parts
from commands.acting import acting
from commands.parts import with_parts


@click.command("revoke", short_help="Let a program use the API no more.")
@click.argument("name")
@with_parts
def command(parts: Parts, name: str) -> None:
    """Revoke the token NAME, at once and in every process. What was done with it stays in the audit."""
    parts.people.tokens.revoke(name, by=acting())
    click.echo(f"{name} opens nothing any more.")
