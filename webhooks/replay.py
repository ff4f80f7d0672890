"""A kept delivery, read once more: the same judge and the same reader as at the door, at the time it came.

No request, no reply and no catalogue here: whoever keeps the deliveries asks, and commits what this tells.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from recordings.catalogue.inbox import StoredDelivery
from recordings.errors import TapekeeperError
from recordings.model import Delivery, Event

from . import events
from .flows import FlowSettings
from .signature import Standing, Verifier


class StillRefused(TapekeeperError):
    """The signature of a refused delivery is not good now either; the message says why and what to do."""

    retryable = False


@dataclass(frozen=True)
class Interpreter:
    """What a kept delivery means by the settings of now: call it. Raises `StillRefused` or `NotUnderstood`."""

    verifier: Verifier
    flows: FlowSettings
    application_id: str

    def __call__(self, stored: StoredDelivery) -> tuple[Delivery, Sequence[Event]]:
        delivery = self._admit(stored) if stored.outcome == "refused" else stored.delivery
        return delivery, events.read(self.flows, delivery)

    def _admit(self, stored: StoredDelivery) -> Delivery:
        delivery = stored.delivery
        # The token was fresh when it came: its age is judged as of then, with the secrets of now.
        then = replace(self.verifier, clock=stored.received_at.timestamp)
        verdict = then.check(delivery.method, {"Authorization": stored.token}, delivery.query, delivery.body)
        if verdict.standing is Standing.BAD:
            raise StillRefused(
                f"The signature of delivery {stored.id} is still not valid: {verdict.reason}. Compare "
                "VONAGE_SIGNATURE_SECRET with the dashboard; if it is right, somebody else sent this."
            )
        if verdict.standing is Standing.UNSIGNED and not self.verifier.allow_unsigned:
            raise StillRefused(
                f"Delivery {stored.id} cannot be taken in: {verdict.reason}. If you know that it is Vonage's: "
                f"ALLOW_UNSIGNED_WEBHOOKS=true flask deliveries replay {stored.id}"
            )
        return replace(
            delivery,
            application_id=verdict.application_id or self.application_id,
            signed=verdict.standing is Standing.VALID,
            jti=verdict.jti,
        )
