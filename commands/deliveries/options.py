"""The options that choose deliveries, and a delivery as `--json` shows it: what several of the commands share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from commands.since import parse_since
from recordings.catalogue.inbox import OUTCOMES
from recordings.clock import iso_utc

if TYPE_CHECKING:
    from recordings.catalogue.inbox import StoredDelivery

outcome_option = click.option("--outcome", type=click.Choice(OUTCOMES), help="Only deliveries with this outcome.")
since_option = click.option(
    "--since", callback=parse_since, help="Only deliveries since a time: 2026-11-22, or 12h or 7d ago."
)


class DeliveryNumber(click.ParamType[int]):
    """The number of a delivery in the inbox."""

    name = "number"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        text = str(value)
        if not (text.isascii() and text.isdecimal() and 0 < int(text) < 2**63):
            self.fail(f"{text!r} is no number of a delivery. The first column of flask deliveries list has them.")
        return int(text)


def as_json_object(stored: StoredDelivery) -> dict[str, Any]:
    """A delivery without its body; what can be given to `json.dumps`."""
    delivery = stored.delivery
    return {
        "id": stored.id,
        "received_at": iso_utc(stored.received_at),
        "route": delivery.route,
        "outcome": stored.outcome,
        "problem": stored.problem,
        "recording_uuid": stored.recording_uuid,
        "method": delivery.method,
        "query": delivery.query,
        "content_type": delivery.content_type,
        "signed": delivery.signed,
        "jti": delivery.jti,
        "application_id": delivery.application_id,
        "body_size": stored.body_size,
    }
