"""`flask deliveries list`: the deliveries that are kept, and what each led to."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import UTC, datetime
from itertools import islice
from typing import TYPE_CHECKING, Protocol

import click

from commands.parts import show, with_parts
from recordings.catalogue.as_json import delivery_as_json_object

from .options import outcome_option, since_option

if TYPE_CHECKING:
    from recordings.catalogue.inbox import Inbox, StoredDelivery


class Parts(Protocol):
    """What this command uses."""

    @property
    def inbox(self) -> Inbox: ...


@click.command("list", short_help="The deliveries that are kept, newest first.")
@outcome_option
@since_option
@click.option("--recording", "recording_uuid", help="Only deliveries that announced this recording.")
@click.option("--limit", type=click.IntRange(min=1), help="No more than so many; without it, all.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@with_parts
def command(
    parts: Parts,
    outcome: str | None,
    since: datetime | None,
    recording_uuid: str | None,
    limit: int | None,
    as_json: bool,
) -> None:
    """The deliveries that are kept, newest first.

    Outcomes: `new` (a recording), `repeat` (known already), `conflict` (known with another URL or conversation),
    `noted` (a call event or a transcription), `unreadable` (signed, but not understood), `refused` (its signature was
    bad or missing). They are kept for DELIVERY_RETENTION_DAYS, and of the refused deliveries only so many of each
    webhook: 1,000 that do not look like Vonage's, and 40,000 that do.
    """
    chosen = parts.inbox.listing(outcome=outcome, since=since, recording_uuid=recording_uuid, newest_first=True)
    deliveries = islice(chosen, limit)
    if as_json:
        for stored in deliveries:
            click.echo(json.dumps(delivery_as_json_object(stored)))
    else:
        _show_table(deliveries)


def _show_table(deliveries: Iterable[StoredDelivery]) -> None:
    rows = [
        [
            stored.id,
            stored.received_at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%SZ"),
            stored.delivery.route,
            stored.outcome,
            stored.problem or stored.recording_uuid or "-",
        ]
        for stored in deliveries
    ]
    if not rows:
        click.echo("No such deliveries.", err=True)
        return
    from tabulate import tabulate

    show(tabulate(rows, headers=["id", "received", "webhook", "outcome", "problem, or recording"]))
