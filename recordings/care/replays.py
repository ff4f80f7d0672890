"""Stored deliveries taken in once more, or adopted, one after the other: one that fails does not stop the next.

The command line and the pages do it alike. What it means for one delivery stands in `recordings.catalogue.inbox`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from recordings.catalogue.inbox import Inbox, Interpret
from recordings.errors import CatalogueUnavailable, TapekeeperError
from recordings.messages import message_of


@dataclass(frozen=True, slots=True)
class Attempt:
    """What came of one delivery: what it was `before`, its `outcome` now; else the `problem`, with what to do."""

    id: int
    before: str | None = None
    outcome: str | None = None
    problem: str | None = None


def replay_each(inbox: Inbox, delivery_ids: Iterable[int], interpret: Interpret) -> Iterator[Attempt]:
    """Take these deliveries in once more, judged by the settings of today. Raises `CatalogueUnavailable`."""
    for delivery_id in delivery_ids:
        try:
            replayed = inbox.replay(delivery_id, interpret)
        except CatalogueUnavailable:
            raise
        except TapekeeperError as error:
            yield Attempt(delivery_id, problem=message_of(error))
        else:
            yield Attempt(delivery_id, replayed.before.outcome, replayed.accepted.outcome)


def adopt_each(inbox: Inbox, delivery_ids: Iterable[int], interpret: Interpret) -> Iterator[Attempt]:
    """Let the URL of each of these conflicts replace that of its recording. Raises `CatalogueUnavailable`."""
    for delivery_id in delivery_ids:
        try:
            inbox.adopt(delivery_id, interpret)
        except CatalogueUnavailable:
            raise
        except TapekeeperError as error:
            yield Attempt(delivery_id, problem=message_of(error))
        else:
            yield Attempt(delivery_id, "conflict", "adopted")
