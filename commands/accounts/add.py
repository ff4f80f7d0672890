"""`flask accounts add`: let one more person sign in."""

from __future__ import annotations

import click

from commands.acting import acting
from commands.parts import with_parts
from recordings.access import Role

from .options import ABOUT_ROLES, ROLES, Parts, read_password, stdin_option


@click.command("add", short_help="Let one more person sign in.", epilog=ABOUT_ROLES)
@click.argument("name")
@click.option("--role", type=ROLES, default=Role.VIEWER.word, show_default=True, help="What the person may do.")
@stdin_option
@click.option("--no-password", is_flag=True, help="Only the single sign-on proxy of AUTH_HEADER lets the person in.")
@with_parts
def command(parts: Parts, name: str, role: str, password_stdin: bool, no_password: bool) -> None:
    """Add an account for the person NAME, and ask for the password without showing it.

    The first account opens the console, if no setting did before.
    """
    if no_password and password_stdin:
        raise click.UsageError("--no-password and --password-stdin exclude each other.")
    password = None if no_password else read_password(password_stdin)
    account = parts.people.accounts.add(name, Role.of(role), password, by=acting())
    click.echo(f"{account.name} may sign in as {account.role.word}.")
