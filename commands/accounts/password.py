"""`flask accounts password`: give a person another password."""

from __future__ import annotations

import click

from commands.acting import acting
from commands.parts import with_parts

from .options import Parts, read_password, stdin_option


@click.command("password", short_help="Give a person another password.")
@click.argument("name")
@stdin_option
@with_parts
def command(parts: Parts, name: str, password_stdin: bool) -> None:
    """Give the person NAME another password, and end all sessions of that person."""
    parts.people.accounts.set_password(name, read_password(password_stdin), by=acting())
    click.echo(f"{name} has another password; the sessions with the former one are over.")
