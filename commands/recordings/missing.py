"""`flask recordings missing`: the calls that were told to record and brought no recording."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import datetime
from typing import TYPE_CHECKING, Protocol

import click

from commands.parts import show, with_parts
from commands.since import parse_since

if TYPE_CHECKING:
    from recordings.catalogue.missing import MissingCalls
    from recordings.model import Call

_COLUMNS = ("conversation_uuid", "flow", "from", "to", "answered_at", "seconds", "missing_since")


class Parts(Protocol):
    """What this command uses."""

    @property
    def missing(self) -> MissingCalls: ...


@click.command("missing", short_help="Calls that brought no recording.")
@click.option(
    "--since", callback=parse_since, help="Only calls found missing since a time: 2026-11-22, or 12h or 7d ago."
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@with_parts
def command(parts: Parts, since: datetime | None, as_json: bool) -> None:
    """Calls that were told to record, have ended, and brought no recording in time; oldest first.

    Each was answered, and ended at least MISSING_GRACE_SECONDS ago. When the recording comes late, its call leaves this
    list. A call whose caller hung up before the recording began is listed too: look at the seconds. Vonage sends an
    event once or twice and keeps the audio for 30 days: see whether the event was refused (flask deliveries list
    --outcome refused).
    """
    calls = parts.missing.listing(since=since)
    if as_json:
        for call in calls:
            click.echo(json.dumps(dict(call.params)))
    else:
        _show_table(calls)


def _show_table(calls: Iterable[Call]) -> None:
    rows = [["-" if call[name] is None else call[name] for name in _COLUMNS] for call in calls]
    if not rows:
        click.echo("No call lacks its recording.", err=True)
        return
    from tabulate import tabulate

    show(tabulate(rows, headers=[name.replace("_", " ") for name in _COLUMNS], disable_numparse=True))
