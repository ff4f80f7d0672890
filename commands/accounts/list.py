"""`flask accounts list`: who may sign in."""

from __future__ import annotations

import json
from datetime import UTC

import click

from commands.parts import with_parts
from recordings.clock import iso_utc

from .options import Parts


@click.command("list")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@with_parts
def command(parts: Parts, as_json: bool) -> None:
    """The people who have an account, with their roles."""
    accounts = parts.people.accounts.list()
    if as_json:
        for account in accounts:
            created_at = iso_utc(account.created_at)
            fields = {"name": account.name, "role": account.role.word, "has_password": account.has_password}
            click.echo(json.dumps(fields | {"created_at": created_at}))
    elif not accounts:
        click.echo("There is no account. Add one with: flask accounts add NAME", err=True)
    else:
        from tabulate import tabulate

        rows = [
            [
                account.name,
                account.role.word,
                "password" if account.has_password else "single sign-on",
                account.created_at.astimezone(UTC).strftime("%Y-%m-%d"),
            ]
            for account in accounts
        ]
        click.echo(tabulate(rows, headers=["name", "role", "signs in by", "since"]))
