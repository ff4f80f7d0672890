"""A stored delivery is read once more: verified and parsed as at its arrival, with the settings of now.

No request, no reply and no catalogue here: the inbox asks, and commits the events.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from recordings.catalogue.inbox import StoredDelivery
from recordings.errors import TapekeeperError
from recordings.model import Delivery, Event

from .authentication import verify
from .events import parse_events
from .flows import FlowSettings
from .signature import SignatureStatus, Verifier


class StillRefused(TapekeeperError):
    """The signature of a refused delivery is not good enough now, either. The message says why and what to do."""

    retryable = False


@dataclass(frozen=True)
class Interpreter:
    """What a stored delivery means by the settings of now: call it. Raises `StillRefused` or `NotUnderstood`."""

    verifier: Verifier
    flows: FlowSettings
    application_id: str

    def __call__(self, stored: StoredDelivery) -> tuple[Delivery, Sequence[Event]]:
        delivery = self._verified(stored) if stored.outcome == "refused" else stored.delivery
        return delivery, parse_events(self.flows, delivery)

    def _verified(self, stored: StoredDelivery) -> Delivery:
        # The token was new when it came: its age is checked as of then, with the secrets of now.
        verifier = replace(self.verifier, clock=stored.received_at.timestamp)
        delivery = replace(stored.delivery, authorization=stored.token)
        delivery, verdict = verify(verifier, self.application_id, delivery)
        if verifier.accepts(verdict):
            return delivery
        if verdict.status is SignatureStatus.BAD:
            raise StillRefused(
                f"The signature of delivery {stored.id} is still not valid: {verdict.reason}. Compare "
                "VONAGE_SIGNATURE_SECRET with the dashboard; if it is right, somebody else sent this."
            )
        raise StillRefused(
            f"Delivery {stored.id} cannot be taken in: {verdict.reason}. If you know that it is Vonage's: "
            f"ALLOW_UNSIGNED_WEBHOOKS=true flask deliveries replay {stored.id}"
        )
