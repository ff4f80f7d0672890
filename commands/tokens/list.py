"""`flask tokens list`: which programs may use the API, and when each last did."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import click

from commands.accounts.options import Parts
from commands.parts import with_parts
from recordings.clock import iso_utc


@click.command("list", short_help="The programs that may use the API.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@with_parts
def command(parts: Parts, as_json: bool) -> None:
    """The tokens by their names, with their roles and when each was last used, to the minute.

    Those in API_TOKENS are not listed: they are settings.
    """
    tokens = parts.people.tokens.list()
    if as_json:
        for token in tokens:
            last_used_at = iso_utc(token.last_used_at) if token.last_used_at else None
            fields = {"name": token.name, "role": token.role.word, "created_at": iso_utc(token.created_at)}
            click.echo(json.dumps(fields | {"last_used_at": last_used_at}))
    elif not tokens:
        click.echo("There is no token. Add one with: flask tokens add NAME", err=True)
    else:
        from tabulate import tabulate

        rows = [
            [token.name, token.role.word, _minute(token.created_at), _minute(token.last_used_at)] for token in tokens
        ]
        click.echo(tabulate(rows, headers=["name", "role", "since", "last used"]))


def _minute(moment: datetime | None) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%MZ") if moment else "never"
