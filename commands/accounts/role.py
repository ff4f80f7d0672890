"""`flask accounts role`: give a person another role."""

from __future__ import annotations

import click

from commands.acting import acting
from commands.parts import with_parts
from recordings.access import Role

from .options import ABOUT_ROLES, ROLES, Parts


@click.command("role", short_help="Give a person another role.", epilog=ABOUT_ROLES)
@click.argument("name")
@click.argument("role", type=ROLES)
@with_parts
def command(parts: Parts, name: str, role: str) -> None:
    """Give the person NAME another role. It holds from the person's next request on; nobody has to sign in again."""
    parts.people.accounts.set_role(name, Role.of(role), by=acting())
    click.echo(f"{name} is {Role.of(role).word} now.")
