"""The inbox: every delivery as it came, also the refused ones, for as long as deliveries are kept.

Refused deliveries are kept because the configured signature secret may be wrong: once it is corrected, a replay takes
them in. What a delivery means is not known here: a replay is given a function that verifies and parses it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, TypeGuard

from sqlalchemy import Row, Select, delete, func, insert, select

from recordings.clock import utc_now
from recordings.errors import TapekeeperError
from recordings.model import Accepted, Announcement, Delivery, Event

from .copies import has_audio
from .database import Database
from .identity import has_uuid
from .intake import Intake
from .quotas import MAX_LIKELY, MAX_REFUSED_BODY, QUOTAS, Quota, RefusedRoom, Worth
from .tables import REFUSED, call_events, deliveries, recordings, transcriptions

log = logging.getLogger(__name__)

OUTCOMES = ("new", "repeat", "conflict", "noted", "unreadable", "refused")
_PAGE = 200
_PRUNED_AT_ONCE, _PRUNINGS = 500, 20


class NoSuchDelivery(TapekeeperError):
    """It was never kept, or is not kept any more."""

    retryable = False


class NotAdoptable(TapekeeperError):
    """The delivery's URL cannot replace that of its recording; the message says why."""

    retryable = False


@dataclass(frozen=True, slots=True)
class StoredDelivery:
    """A delivery in the inbox. `outcome` is one of `OUTCOMES`; `problem` says why it could not be used.

    `token` is the Authorization header of a refused one; `body_size` is in bytes; `recording_uuid` is what it led to,
    in the row `recording_id`.
    """

    id: int
    received_at: datetime
    delivery: Delivery
    outcome: str
    problem: str | None
    recording_uuid: str | None
    body_size: int
    recording_id: int | None = None
    token: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Replayed:
    """What a replay did: what the delivery was before, and what became of it now."""

    before: StoredDelivery
    accepted: Accepted


Interpret = Callable[[StoredDelivery], tuple[Delivery, Sequence[Event]]]


class Inbox:
    """The deliveries in one database. Raises `CatalogueUnavailable` as the database does."""

    def __init__(
        self,
        database: Database,
        intake: Intake,
        *,
        retention_days: float = 35,
        quotas: Mapping[Worth, Quota] = QUOTAS,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        self.database = database
        self._intake = intake
        self._retention = timedelta(days=retention_days)
        self._room = RefusedRoom(quotas)
        self._clock = clock

    def keep_refused(self, delivery: Delivery, token: str, problem: str, worth: Worth = Worth.UNLIKELY) -> None:
        """Keep a refused delivery, its body cut to 64 KiB, within the quota of its worth: see `quotas`."""
        if len(delivery.body) + len(delivery.query) + len(token) > MAX_LIKELY:
            worth = Worth.UNLIKELY
        row = {
            "received_at": self._clock(),
            "route": delivery.route,
            "method": delivery.method,
            "query": delivery.query,
            "content_type": delivery.content_type,
            "application_id": delivery.application_id,
            "body": delivery.body[:MAX_REFUSED_BODY],
            "signed": False,
            "outcome": "refused",
            "problem": problem + _cut(delivery.body),
            "token": token,
            "worth": worth,
        }
        with self.database.write() as connection:
            connection.execute(insert(deliveries), row)
            self._room.keep_to(connection, row)

    def listing(
        self,
        *,
        outcome: str | None = None,
        since: datetime | None = None,
        recording_uuid: str | None = None,
        newest_first: bool = False,
    ) -> Iterator[StoredDelivery]:
        """The deliveries without their bodies, oldest first unless `newest_first`, read in pages."""
        query = LISTED
        if outcome:
            query = query.where(REFUSED if outcome == "refused" else deliveries.c.outcome == outcome)
        if since:
            query = query.where(deliveries.c.received_at >= since)
        if recording_uuid:
            query = query.where(has_uuid(recording_uuid))
        row_id = deliveries.c.id
        order, last = (row_id.desc(), 2**63 - 1) if newest_first else (row_id, 0)
        while True:
            page = query.where(row_id < last if newest_first else row_id > last).order_by(order).limit(_PAGE)
            with self.database.read() as connection:
                rows = connection.execute(page).all()
            yield from (stored_delivery(row, b"") for row in rows)
            if len(rows) < _PAGE:
                return
            last = rows[-1].id

    def find(self, delivery_id: int) -> StoredDelivery:
        """One delivery, whole. Raises `NoSuchDelivery`."""
        query = LISTED.add_columns(deliveries.c.body, deliveries.c.token).where(deliveries.c.id == delivery_id)
        with self.database.read() as connection:
            row = connection.execute(query).first()
        if row is None:
            raise NoSuchDelivery(f"There is no delivery {delivery_id}. See all with: flask deliveries list")
        return stored_delivery(row, row.body, row.token or "")

    def events_of(self, delivery_id: int) -> list[dict[str, Any]]:
        """The call events and the transcriptions that a delivery brought, as plain values."""
        calls = select(*call_events.c["kind", "conversation_key", "leg_uuid", "timestamp"])
        texts = select(*transcriptions.c["status", "recording_uuid", "url", "error"])
        with self.database.read() as connection:
            rows = [*connection.execute(calls.where(call_events.c.delivery_id == delivery_id))]
            rows += connection.execute(texts.where(transcriptions.c.delivery_id == delivery_id))
        return [dict(row._mapping) for row in rows]

    def replay(self, delivery_id: int, interpret: Interpret) -> Replayed:
        """Take a delivery in once more. A repetition doubles nothing; a worker takes the new copies.

        `interpret` verifies the delivery and reads its events, or raises what is wrong with it: then nothing changes.
        """
        before = self.find(delivery_id)
        delivery, events = interpret(before)
        accepted = self._intake.accept(delivery, events, row_id=before.id)
        log.info("Delivery %d, which was %s, was taken in again: %s.", before.id, before.outcome, accepted.outcome)
        return Replayed(before, accepted)

    def adopt(self, delivery_id: int, interpret: Interpret) -> list[int]:
        """Let the URL of this delivery, a `conflict`, replace that of its recording. Only a person may decide this.

        Returns the copies of the recording, which are due now. Raises `NoSuchDelivery`, `NotAdoptable`, or what
        `interpret` raises; see `replay`. Nothing changes then.
        """
        stored = self.find(delivery_id)
        if stored.outcome != "conflict":
            raise NotAdoptable(f"Delivery {delivery_id} is {stored.outcome}, and only a conflict can be adopted.")
        delivery, events = interpret(stored)
        announcement = next((event for event in events if _announces(event, stored.recording_uuid)), None)
        if announcement is None:
            raise NotAdoptable(f"Delivery {delivery_id} announces no file of recording {stored.recording_uuid}.")
        copy_ids = self._intake.adopt(delivery, announcement)
        if copy_ids is None:
            raise NotAdoptable(
                f"A copy of {stored.recording_uuid} is stored already, from the first URL. Nothing was changed."
            )
        log.warning(
            "On a person's word recording %s has the URL of delivery %d now; %d copies are due.",
            stored.recording_uuid,
            delivery_id,
            len(copy_ids),
        )
        return copy_ids

    def is_adoptable(self, stored: StoredDelivery) -> bool:
        """Whether this delivery announced another URL for a recording of which the first one has brought no audio."""
        if stored.outcome != "conflict":
            return False
        with self.database.read() as connection:
            return not connection.execute(select(has_audio(stored.recording_id))).scalar_one()

    def prune(self) -> int:
        """Forget deliveries older than the retention, 10,000 at most. Returns how many; recordings and calls stay."""
        old = deliveries.c.received_at < self._clock() - self._retention
        chosen = select(deliveries.c.id).where(old).order_by(deliveries.c.received_at).limit(_PRUNED_AT_ONCE)
        forgotten = 0
        for _ in range(_PRUNINGS):
            with self.database.read() as connection:
                ids = connection.scalars(chosen).all()
            if ids:
                # In small transactions, because new events wait while one is written.
                with self.database.write() as connection:
                    forgotten += connection.execute(delete(deliveries).where(deliveries.c.id.in_(ids))).rowcount
            if len(ids) < _PRUNED_AT_ONCE:
                break
        return forgotten


# Every delivery without its body, with what it led to.
LISTED: Select[Any] = select(
    *deliveries.c["id", "received_at", "route", "method", "query", "content_type", "application_id", "signed", "jti"],
    *deliveries.c["outcome", "problem"],
    func.length(deliveries.c.body).label("body_size"),
    recordings.c.recording_uuid,
    deliveries.c.recording_id,
).select_from(deliveries.outerjoin(recordings, recordings.c.id == deliveries.c.recording_id))


def stored_delivery(row: Row[Any], body: bytes, token: str = "") -> StoredDelivery:
    """The delivery in a row of `LISTED`."""
    names = ("route", "method", "query", "content_type", "application_id", "signed", "jti")
    delivery = Delivery(**{name: getattr(row, name) for name in names}, body=bytes(body))
    facts = (row.id, row.received_at, delivery, row.outcome, row.problem, row.recording_uuid, row.body_size)
    return StoredDelivery(*facts, row.recording_id, token)


def _announces(event: Event, recording_uuid: str | None) -> TypeGuard[Announcement]:
    """Whether this event announces audio of this recording."""
    return isinstance(event, Announcement) and event.recording_uuid == recording_uuid and not event.empty


def _cut(body: bytes) -> str:
    return f" Only the first {MAX_REFUSED_BODY} of {len(body)} bytes are kept." if len(body) > MAX_REFUSED_BODY else ""
