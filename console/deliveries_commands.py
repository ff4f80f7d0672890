"""`flask deliveries …`: what Vonage sent, as it came, also what was turned away; and taking it in once more."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

import click
from flask.cli import AppGroup
from tabulate import tabulate

from recordings.catalogue import listing
from recordings.catalogue.inbox import OUTCOMES, StoredDelivery
from recordings.errors import CatalogueUnavailable, TapekeeperError

from .moments import moment
from .services import Services, services

deliveries = AppGroup("deliveries", help="Raw webhook deliveries: list them, look at one, take one in once more.")

outcome_option = click.option("--outcome", type=click.Choice(OUTCOMES), help="Only those with this outcome.")
since_option = click.option(
    "--since", callback=moment, help="Only those since then: 2026-11-22, or 12h, 7d for so long ago."
)


@deliveries.command("list")
@outcome_option
@since_option
@click.option("--recording", "recording_uuid", help="Only those that told of this recording.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def list_(outcome: str | None, since: datetime | None, recording_uuid: str | None, as_json: bool) -> None:
    """The deliveries that are kept, newest last.

    Outcomes: `new` (a recording), `repeat` (known already), `conflict` (known under other particulars), `noted` (a call
    event or a transcription), `unreadable` (signed, but not understood), `refused` (its signature was bad or missing).
    They are kept for DELIVERY_RETENTION_DAYS, of the refused ones the newest 1,000 of each webhook.
    """
    with services() as parts:
        found = parts.inbox.listing(outcome=outcome, since=since, recording_uuid=recording_uuid)
        if as_json:
            for kept in found:
                click.echo(json.dumps(_as_json(kept)))
        else:
            _show_table(found)


@deliveries.command()
@click.argument("delivery_id", type=click.IntRange(min=1))
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def show(delivery_id: int, as_json: bool) -> None:
    """One delivery: what is known of its request, its body as it came, and what it led to.

    Exit code 1 when it is not kept.
    """
    with services() as parts:
        kept = parts.inbox.find(delivery_id)
        told = _as_json(kept) | _body(kept.delivery.body) | {"led_to": _led_to(parts, kept)}
    click.echo(json.dumps(told) if as_json else _as_text(told))


@deliveries.command()
@click.argument("delivery_ids", type=click.IntRange(min=1), nargs=-1)
@outcome_option
@since_option
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def replay(delivery_ids: tuple[int, ...], outcome: str | None, since: datetime | None, as_json: bool) -> None:
    """Take deliveries in once more, as if they came now: by their numbers, or all with an --outcome.

    After a wrong VONAGE_SIGNATURE_SECRET is mended: flask deliveries replay --outcome refused. Signatures are judged
    with the secrets of now, their age as of when they came. It may be repeated: nothing is doubled, and what was taken
    in before stays as it is. A running worker archives new recordings within a minute.

    Exit code 1 when any could not be taken in; the reason stands beside it.
    """
    if bool(delivery_ids) == bool(outcome):
        raise click.UsageError("Name deliveries by their numbers, or all of one kind: --outcome refused.")
    if delivery_ids and since:
        raise click.UsageError("--since goes with --outcome, not with numbers.")
    with services() as parts:
        wanted = delivery_ids or [kept.id for kept in parts.inbox.listing(outcome=outcome, since=since)]
        done = [_replay(parts, delivery_id, as_json) for delivery_id in wanted]
    if not as_json:
        click.echo(f"{sum(done)} of {len(done)} were taken in.", err=True)
    sys.exit(0 if all(done) else 1)


def _replay(parts: Services, delivery_id: int, as_json: bool) -> bool:
    told: dict[str, Any] = {"id": delivery_id, "before": None, "outcome": None, "problem": None}
    try:
        replayed = parts.replay(delivery_id)
        told |= {"before": replayed.before.outcome, "outcome": replayed.accepted.outcome}
    except CatalogueUnavailable:
        raise
    except TapekeeperError as error:
        told["problem"] = str(error)
    text = told["problem"] or f"was {told['before']}, is taken in: {told['outcome']}"
    click.echo(json.dumps(told) if as_json else f"{delivery_id}: {text}")
    return told["problem"] is None


def _as_json(kept: StoredDelivery) -> dict[str, Any]:
    delivery = kept.delivery
    return {
        "id": kept.id,
        "received_at": kept.received_at.astimezone(UTC).isoformat().replace("+00:00", "Z"),
        "route": delivery.route,
        "outcome": kept.outcome,
        "problem": kept.problem,
        "recording_uuid": kept.recording_uuid,
        "method": delivery.method,
        "query": delivery.query,
        "content_type": delivery.content_type,
        "signed": delivery.signed,
        "jti": delivery.jti,
        "application_id": delivery.application_id,
        "body_size": kept.body_size,
    }


def _body(body: bytes) -> dict[str, str]:
    """The body as text where it is text, else in hex: it is shown, so it must not speak to a terminal."""
    text = body.decode("utf-8", "replace")
    if "\ufffd" in text or not all(char.isprintable() or char in "\t\r\n" for char in text):
        return {"body_hex": body.hex()}
    return {"body": text}


def _led_to(parts: Services, kept: StoredDelivery) -> list[str]:
    told = [
        f"recording {recording.recording_uuid}: {recording.state.value}"
        for recording in listing.find(parts.database, kept.recording_uuid or "")
    ]
    for row in parts.inbox.events_of(kept.id):
        if "kind" in row:
            told.append(f"call event {row['kind']} of conversation {row['conversation_key']}, leg {row['leg_uuid']}")
        else:
            told.append(f"transcription of {row['recording_uuid']}: {row['status']}")
    return told


def _show_table(found: Iterable[StoredDelivery]) -> None:
    rows = [
        [
            kept.id,
            kept.received_at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%SZ"),
            kept.delivery.route,
            kept.outcome,
            kept.problem or kept.recording_uuid or "-",
        ]
        for kept in found
    ]
    if rows:
        click.echo(tabulate(rows, headers=["id", "received", "webhook", "outcome", "problem, or recording"]))
    else:
        click.echo("No such deliveries.", err=True)


def _as_text(told: dict[str, Any]) -> str:
    lines = []
    for name, value in told.items():
        if name == "led_to":
            lines.append("led to: " + ("; ".join(value) or "nothing"))
        elif name.startswith("body") and name != "body_size":
            lines.append(f"{name.replace('_', ' in ')}:\n{value}")
        else:
            lines.append(f"{name}: {'-' if value is None or value == '' else value}")
    return "\n".join(lines)
