"""`flask deliveries replay`: take deliveries in once more, judged by the settings of today."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from datetime import datetime
from typing import TYPE_CHECKING, Protocol

import click

from commands.parts import show, with_parts
from commands.recordings.access_notes import note_access

from .options import DeliveryNumber, outcome_option, since_option

if TYPE_CHECKING:
    from recordings.catalogue.database import Database
    from recordings.catalogue.inbox import Inbox, Interpret


_MEANINGS = {
    "new": "Now it is taken in: a new recording.",
    "repeat": "Now it is taken in: its recording was known already.",
    "conflict": "Now it is a conflict: its recording has another URL or conversation, which stands.",
    "noted": "Now it is noted: it announces no recording.",
}


class Parts(Protocol):
    """What this command uses. `interpreter` says what a stored delivery means by the settings of today."""

    @property
    def database(self) -> Database: ...
    @property
    def inbox(self) -> Inbox: ...
    @property
    def interpreter(self) -> Interpret: ...


@click.command("replay", short_help="Take deliveries in once more.")
@click.argument("delivery_ids", type=DeliveryNumber(), nargs=-1)
@outcome_option
@since_option
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@with_parts
def command(
    parts: Parts, delivery_ids: tuple[int, ...], outcome: str | None, since: datetime | None, as_json: bool
) -> None:
    """Take deliveries in once more, as if they came now: by their numbers, or all with an --outcome.

    After a wrong VONAGE_SIGNATURE_SECRET is mended: flask deliveries replay --outcome refused. Each signature is
    checked with the present secrets; its age counts up to the delivery's arrival. It may be repeated: nothing is
    doubled, and what was taken in before stays as it is. A running worker fetches new recordings by itself.

    Exit code 1 when any could not be taken in; the reason stands beside it.
    """
    if bool(delivery_ids) == bool(outcome):
        raise click.UsageError("Name deliveries by their numbers, or all of one kind: --outcome refused.")
    if delivery_ids and since:
        raise click.UsageError("--since goes with --outcome, not with numbers.")
    from recordings.care.replays import replay_each

    wanted = delivery_ids or [stored.id for stored in parts.inbox.listing(outcome=outcome, since=since)]
    note_access(parts.database, "replay", detail=_detail(delivery_ids, outcome, len(wanted)))
    successes = []
    for attempt in replay_each(parts.inbox, wanted, parts.interpreter):
        text = attempt.problem or f"it was {attempt.before} before. {_MEANINGS[attempt.outcome or '']}"
        show(json.dumps(asdict(attempt)) if as_json else f"{attempt.id}: {text}")
        successes.append(attempt.problem is None)
    if not as_json:
        click.echo(f"{sum(successes)} of {len(successes)} deliveries were taken in.", err=True)
    sys.exit(0 if all(successes) else 1)


def _detail(delivery_ids: tuple[int, ...], outcome: str | None, number: int) -> str:
    if len(delivery_ids) == 1:
        return f"delivery {delivery_ids[0]}"
    return f"{number} deliveries, {outcome}" if outcome else f"{number} deliveries"
