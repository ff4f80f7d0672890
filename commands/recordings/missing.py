"""`flask recordings missing`: the calls that were told to record and brought no recording."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import datetime

import click
from flask.cli import with_appcontext
from tabulate import tabulate

from recordings.model import Call

from .moments import moment
from .services import services

_COLUMNS = ("conversation_uuid", "flow", "from", "to", "answered_at", "seconds", "missing_since")


@click.command()
@click.option("--since", callback=moment, help="Only those found missing since then: 2026-11-22, or 12h, 7d ago.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@with_appcontext
def missing(since: datetime | None, as_json: bool) -> None:
    """Calls that were told to record, have ended, and brought no recording in time; oldest first.

    Each was answered, and ended at least MISSING_GRACE_SECONDS ago. One that comes late takes its call off this list. A
    caller who hung up before the recording began is listed too: look at the seconds. Vonage tells an event once or
    twice and keeps the audio for 30 days: see whether it was turned away (flask deliveries list --outcome refused).
    """
    with services() as parts:
        found = parts.missing.listing(since=since)
        if as_json:
            for call in found:
                click.echo(json.dumps(dict(call.params)))
        else:
            _show_table(found)


def _show_table(found: Iterable[Call]) -> None:
    rows = [["-" if call[name] is None else call[name] for name in _COLUMNS] for call in found]
    if rows:
        click.echo(tabulate(rows, headers=[name.replace("_", " ") for name in _COLUMNS], disable_numparse=True))
    else:
        click.echo("No call lacks its recording.", err=True)
