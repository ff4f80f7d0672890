"""What the webhooks need from the rest of the program. `wsgi` makes it; nothing is started or decided here."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from recordings.background import BackgroundWriter
from recordings.model import Accepted, Call, Delivery, Event
from recordings.timeouts import Deadline, TimeLimit

from .flows import FlowSettings
from .refused import RefusedDeliveries
from .signature import Verifier

Arrival = tuple[Delivery, Sequence[Event]]


class Intake(Protocol):
    """The catalogue, as the webhooks see it. Its methods raise `CatalogueUnavailable` when they cannot commit."""

    @property
    def single_writer(self) -> bool:
        """Whether the database takes one writing transaction at a time: then group commit pays."""

    def accept_all(self, arrivals: Sequence[Arrival], deadline: Deadline | None = None) -> list[Accepted]:
        """Commit these deliveries and their events in one transaction."""

    def keep(self, delivery: Delivery, problem: str, deadline: Deadline | None = None) -> None:
        """Commit a delivery that could not be understood, with the reason."""


@dataclass(frozen=True)
class WebhookContext:
    """What every webhook works with.

    `application_id` is the configured application, for requests whose signature names none. `answer_call` asks the
    plugins for an NCCO: it may raise, return anything or hang, and `time_limit` ends the wait for it. `call_notes`
    writes down the calls that were answered, and `refused` the events that were refused, both in the background.
    """

    intake: Intake
    verifier: Verifier
    flows: FlowSettings
    application_id: str
    answer_call: Callable[[Call], Any]
    call_notes: BackgroundWriter[Call, str]
    refused: RefusedDeliveries
    time_limit: TimeLimit = field(default_factory=lambda: TimeLimit(rest=60))

    def close(self) -> None:
        """Write down what still waits in the background, within a bounded time."""
        self.call_notes.close()
        self.refused.close()
