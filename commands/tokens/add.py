"""`flask tokens add`: let one more program use the API."""

from __future__ import annotations

import json

import click

from commands.accounts.options import ABOUT_ROLES, ROLES, Parts
from commands.acting import acting
from commands.parts import with_parts
from recordings.access import Role


@click.command("add", short_help="Let one more program use the API.", epilog=ABOUT_ROLES)
@click.argument("name")
@click.option("--role", type=ROLES, default=Role.VIEWER.word, show_default=True, help="What the program may do.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
@with_parts
def command(parts: Parts, name: str, role: str, as_json: bool) -> None:
    """Make a token for the program NAME and print it: only now, for nobody can show it again.

    The program sends it in a header: Authorization: Bearer tk_…
    """
    token = parts.people.tokens.create(name, Role.of(role), by=acting())
    if as_json:
        click.echo(json.dumps({"name": name, "role": role, "token": token}))
        return
    click.echo(token)
    click.echo("Keep it now: it is not shown again. Whoever has it may do what its role may.", err=True)
