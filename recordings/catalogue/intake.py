"""Writes what webhooks bring: raw deliveries, recordings with the rows of their copies, and what is known of calls.

Everything that one webhook brings is committed together, or not at all. Recordings are read in `listing`; what happens
to a copy after its row was made is in `leases` and `schedule`.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import Connection, Select, and_, delete, insert, select, update

from recordings.clock import utc_now
from recordings.model import (
    Accepted,
    Announcement,
    Call,
    CallEvent,
    Delivery,
    Event,
    State,
    Transcription,
    conversation_key,
    worst,
)
from recordings.timeouts import Deadline

from .call_notes import note_call_event, upsert_call
from .database import Database
from .derived import follow_calls, follow_copies
from .repeats import Repeats
from .tables import call_events, copies, deliveries, recordings, transcriptions

log = logging.getLogger(__name__)

MAX_UNSIGNED_BODY = 64 * 1024  # bytes that are kept of an unsigned body; real events have some hundreds

# Made once: making a statement costs more than running it.
_NEW_DELIVERIES = insert(deliveries)
_NEW_DELIVERY = insert(deliveries).returning(deliveries.c.id)
_NEW_COPIES = insert(copies).returning(*copies.c["id", "recording_id"])


class _Arrival(NamedTuple):
    """One delivery and its events; `row_id` is that of a stored delivery that is taken in once more."""

    delivery: Delivery
    events: Sequence[Event]
    row_id: int | None


class _Outcome(NamedTuple):
    """What became of one announcement; `name` as in `Accepted.outcome`. `wanted`: its recording needs copies now."""

    name: str
    recording_id: int
    wanted: bool = False


class Intake:
    """Writes into one database.

    `storages` are the storages that get a copy of each new recording. After a commit `announce` is called with the
    number of copies that are due now, to wake the workers of this process. Every method raises `CatalogueUnavailable`
    when the database cannot commit.
    """

    def __init__(
        self,
        database: Database,
        storages: Sequence[str],
        *,
        clock: Callable[[], datetime] = utc_now,
        announce: Callable[[int], None] = lambda copies: None,
    ) -> None:
        self.database = database
        self._storages = tuple(storages)
        self._clock = clock
        self._announce = announce
        self._repeats = Repeats()
        unique = recordings.c["id", "application_id", "recording_uuid"]
        self._new_recordings = database.insert(recordings).on_conflict_do_nothing().returning(*unique)

    @property
    def single_writer(self) -> bool:
        """Whether the database takes one writing transaction at a time, as SQLite does: then group commit pays.

        Postgres takes many at a time, and two transactions with many rows each would wait for each other's rows.
        """
        return self.database.sqlite

    def accept(self, delivery: Delivery, events: Sequence[Event], *, row_id: int | None = None) -> Accepted:
        """Commit the raw delivery and its events. Returns the new copies, which are due.

        `row_id` is that of a stored delivery that is taken in once more: nothing is doubled.
        """
        return self._accept_all([_Arrival(delivery, events, row_id)], Deadline())[0]

    def accept_all(
        self, arrivals: Sequence[tuple[Delivery, Sequence[Event]]], deadline: Deadline | None = None
    ) -> list[Accepted]:
        """Like `accept`, for several deliveries in one transaction: all are committed, or none is."""
        all_new = [_Arrival(delivery, events, None) for delivery, events in arrivals]
        return self._accept_all(all_new, deadline or Deadline())

    def _accept_all(self, arrivals: Sequence[_Arrival], deadline: Deadline) -> list[Accepted]:
        with self.database.write(deadline) as connection:
            outcomes = self._announce_all(connection, arrivals)
            wanted = [outcome.recording_id for of_delivery in outcomes for outcome in of_delivery if outcome.wanted]
            copy_ids = self._new_copies(connection, wanted)
            call_keys = self._store_deliveries(connection, arrivals, outcomes)
            follow_calls(connection, call_keys | _new_keys(arrivals, outcomes))
            if copy_ids:
                self.database.notify_workers(connection)
        self._repeats.count((arrival.delivery, arrival.events) for arrival in arrivals)
        if copy_ids:
            self._announce(sum(len(ids) for ids in copy_ids.values()))
        return [_accepted(of_delivery, copy_ids) for of_delivery in outcomes]

    def adopt(self, delivery: Delivery, event: Announcement) -> list[int] | None:
        """Give a known recording this event's URL and size. Returns its copies, which are due; None: a copy is stored.

        A worker that still fetches from the former URL loses its claim, so it cannot record an outcome.
        """
        its_copies = copies.c.recording_id == self._its_row(delivery, event).scalar_subquery()
        has_audio = select(copies.c.id).where(its_copies, copies.c.sha256.is_not(None)).limit(1)
        due = {"state": State.PENDING.value, "token": None, "due_at": self._clock()}
        with self.database.write(Deadline()) as connection:
            if connection.execute(has_audio).first() is not None:
                return None
            row_id = connection.execute(self._its_row(delivery, event)).scalar_one()
            particulars = {"recording_url": event.recording_url, "size": event.size, "empty": False}
            # The copies first, as workers do it: on Postgres two transactions could wait for each other else.
            statement = update(copies).where(copies.c.recording_id == row_id).values(due).returning(copies.c.id)
            copy_ids = [row.id for row in connection.execute(statement)]
            connection.execute(update(recordings).where(recordings.c.id == row_id).values(particulars))
            copy_ids = copy_ids or self._new_copies(connection, [row_id])[row_id]
            follow_copies(connection, copy_ids)
            self.database.notify_workers(connection)
        self._announce(len(copy_ids))
        return copy_ids

    def _its_row(self, delivery: Delivery, event: Announcement) -> Select[Any]:
        identity = (
            recordings.c.application_id == delivery.application_id,
            recordings.c.recording_uuid == event.recording_uuid,
        )
        return select(recordings.c.id).where(*identity)

    def keep(self, delivery: Delivery, problem: str, deadline: Deadline | None = None) -> None:
        """Commit a delivery that could not be understood, for a person to look at."""
        if self._repeats.enough(delivery, ()):
            return
        with self.database.write(deadline) as connection:
            connection.execute(_NEW_DELIVERIES, self._raw(delivery) | {"outcome": "unreadable", "problem": problem})
        self._repeats.count([(delivery, ())])

    def note_call(self, call: Call, application_id: str) -> None:
        """Write down a call that the answer webhook answered, unless it has no conversation id to find it by."""
        if not call.conversation_uuid:
            return
        values = {
            "leg_uuid": call.uuid,
            "from_number": call.from_ or call.from_user,
            "to_number": call.to,
            "flow": call.flow,
            "format": call.format,
            "channels": call.channels,
            "region_url": call.region_url,
            "answered_at": self._clock(),
            "expectation": "expected" if call.records else None,
        }
        with self.database.write() as connection:
            keys = upsert_call(self.database, connection, application_id, call.conversation_uuid, values, values)
            follow_calls(connection, keys)

    def _store_deliveries(
        self, connection: Connection, arrivals: Sequence[_Arrival], outcomes: Sequence[Sequence[_Outcome]]
    ) -> set[str]:
        """Insert the raw deliveries and the rows that refer to them. Returns the conversations of the calls written.

        Most deliveries announce a recording and nothing else: no row refers to them.
        """
        plain = []
        call_keys: set[str] = set()
        for arrival, of_one in zip(arrivals, outcomes, strict=True):
            verdict = {"outcome": _outcome_of(of_one), "recording_id": of_one[0].recording_id if of_one else None}
            if self._has_enough_rows(arrival, of_one):
                continue
            further = [event for event in arrival.events if not isinstance(event, Announcement)]
            if arrival.row_id is None and not further:
                plain.append(self._raw(arrival.delivery) | verdict)
                continue
            delivery_id = self._store_delivery(connection, arrival, verdict)
            for event in further:
                call_keys |= self._note(connection, arrival.delivery, delivery_id, event)
        if plain:
            connection.execute(_NEW_DELIVERIES, plain)
        return call_keys

    def _has_enough_rows(self, arrival: _Arrival, outcomes: Sequence[_Outcome]) -> bool:
        """Whether the delivery came several times already, and brings nothing new: then it gets no row."""
        repeated = all(outcome.name in ("repeat", "conflict") for outcome in outcomes)
        return repeated and arrival.row_id is None and self._repeats.enough(arrival.delivery, arrival.events)

    def _store_delivery(self, connection: Connection, arrival: _Arrival, verdict: dict[str, Any]) -> int:
        if arrival.row_id is not None:
            return _prepare_again(connection, arrival.row_id, arrival.delivery, verdict)
        row = self._raw(arrival.delivery) | verdict
        return int(connection.execute(_NEW_DELIVERY, row).scalar_one())

    def _raw(self, delivery: Delivery) -> dict[str, Any]:
        cut = not delivery.signed and len(delivery.body) > MAX_UNSIGNED_BODY
        return {
            "received_at": self._clock(),
            "route": delivery.route,
            "method": delivery.method,
            "query": delivery.query,
            "content_type": delivery.content_type,
            "body": delivery.body[:MAX_UNSIGNED_BODY] if cut else delivery.body,
            "problem": f"Not signed: only the first {MAX_UNSIGNED_BODY} bytes are kept." if cut else None,
            "application_id": delivery.application_id,
            "signed": delivery.signed,
            "jti": delivery.jti,
        }

    def _note(self, connection: Connection, delivery: Delivery, delivery_id: int, event: Event) -> set[str]:
        """Insert what an event says. Returns the conversations of the call that it wrote."""
        if isinstance(event, CallEvent):
            application_id, now = delivery.application_id, self._clock()
            return note_call_event(self.database, connection, application_id, delivery_id, event, now)
        if isinstance(event, Transcription):
            self._note_transcription(connection, delivery, delivery_id, event)
        return set()

    # --- Announcements -----------------------------------------------------------------------------------------------

    def _announce_all(self, connection: Connection, arrivals: Sequence[_Arrival]) -> list[list[_Outcome]]:
        """What became of the announcements of each arrival, in their order."""
        announced = [
            (index, event, self._recording_row(arrival.delivery, event))
            for index, arrival in enumerate(arrivals)
            for event in arrival.events
            if isinstance(event, Announcement)
        ]
        new_ids = self._insert_new(connection, [row for _, _, row in announced])
        outcomes: list[list[_Outcome]] = [[] for _ in arrivals]
        for index, event, row in announced:
            recording_id = new_ids.pop(_identity(row), None)
            if recording_id is None:
                outcomes[index].append(self._announce_again(connection, event, row))
            else:
                outcomes[index].append(_Outcome("new", recording_id, not event.empty))
        return outcomes

    def _insert_new(self, connection: Connection, rows: Sequence[dict[str, Any]]) -> dict[tuple[str, str], int]:
        """The ids of the recordings that were not known before, by identity; of equal identities the first counts."""
        if not rows:
            return {}
        result = connection.execute(self._new_recordings, rows)
        return {(row.application_id, row.recording_uuid): row.id for row in result}

    def _announce_again(self, connection: Connection, event: Announcement, row: dict[str, Any]) -> _Outcome:
        known = connection.execute(
            select(*recordings.c["id", "recording_url", "conversation_key", "empty"])
            .where(recordings.c.application_id == row["application_id"])
            .where(recordings.c.recording_uuid == row["recording_uuid"])
        ).one()
        named = [key for key in (known.conversation_key, row["conversation_key"]) if key]
        same_conversation = len(set(named)) <= 1  # an announcement may name none
        if known.empty and not event.empty and same_conversation:
            # The first announcement had no audio, so this one may replace it.
            connection.execute(update(recordings).where(recordings.c.id == known.id).values(_replacing(row)))
            return _Outcome("new", known.id, True)
        if known.recording_url == row["recording_url"] and same_conversation:
            return _Outcome("repeat", known.id)
        log.warning(
            "Recording %s was announced with another URL or conversation; the first stands.", event.recording_uuid
        )
        return _Outcome("conflict", known.id)

    def _recording_row(self, delivery: Delivery, event: Announcement) -> dict[str, Any]:
        return {
            "application_id": delivery.application_id,
            "recording_uuid": event.recording_uuid,
            "conversation_uuid": event.conversation_uuid,
            "conversation_key": conversation_key(event.conversation_uuid),
            "recording_url": event.recording_url,
            "size": event.size,
            "start_time": event.start_time,
            "end_time": event.end_time,
            "timestamp": event.timestamp,
            "received_at": self._clock(),
            "origin": event.origin,
            "flow": event.flow,
            "format": event.format,
            "channels": event.channels,
            "empty": event.empty,
            "state": worst([] if event.empty else [State.PENDING for _ in self._storages]).value,
        }

    def _new_copies(self, connection: Connection, recording_ids: Sequence[int]) -> dict[int, list[int]]:
        """A copy of each of these recordings in each storage, due now; the ids of the copies by recording."""
        due = {"state": State.PENDING.value, "attempts": 0, "due_at": self._clock()}
        rows = [
            due | {"recording_id": recording_id, "storage": storage}
            for recording_id in recording_ids
            for storage in self._storages
        ]
        copy_ids: dict[int, list[int]] = defaultdict(list)
        for row in connection.execute(_NEW_COPIES, rows) if rows else ():
            copy_ids[row.recording_id].append(row.id)
        return copy_ids

    def _note_transcription(
        self, connection: Connection, delivery: Delivery, delivery_id: int, event: Transcription
    ) -> None:
        row = {
            "delivery_id": delivery_id,
            "received_at": self._clock(),
            "application_id": delivery.application_id,
            "recording_uuid": event.recording_uuid,
            "conversation_uuid": event.conversation_uuid,
            "status": event.status,
            "url": event.url,
            "error": event.error,
        }
        connection.execute(insert(transcriptions), row)


def _accepted(outcomes: Sequence[_Outcome], copy_ids: Mapping[int, Sequence[int]]) -> Accepted:
    ids = (copy_id for outcome in outcomes if outcome.wanted for copy_id in copy_ids[outcome.recording_id])
    return Accepted(_outcome_of(outcomes), tuple(ids))


def _new_keys(arrivals: Sequence[_Arrival], outcomes: Sequence[Sequence[_Outcome]]) -> set[str]:
    """The conversations of the recordings that were inserted, or announced with audio for the first time."""
    keys = set()
    for arrival, of_one in zip(arrivals, outcomes, strict=True):
        announcements = [event for event in arrival.events if isinstance(event, Announcement)]
        pairs = zip(announcements, of_one, strict=True)
        keys |= {conversation_key(event.conversation_uuid) for event, outcome in pairs if outcome.name == "new"}
    return keys - {""}


def _outcome_of(outcomes: Sequence[_Outcome]) -> str:
    """The outcome of a delivery: that of its first announcement."""
    return outcomes[0].name if outcomes else "noted"


def _replacing(row: dict[str, Any]) -> dict[str, Any]:
    """The values that replace those of a recording without audio. A conversation that is known stays known."""
    if row["conversation_key"]:
        return row
    return {name: value for name, value in row.items() if not name.startswith("conversation_")}


def _identity(row: Mapping[str, Any]) -> tuple[str, str]:
    return row["application_id"], row["recording_uuid"]


def _prepare_again(connection: Connection, row_id: int, delivery: Delivery, verdict: Mapping[str, Any]) -> int:
    """Delete the events that this delivery brought before. Its outcome stays, unless it was refused or unreadable."""
    for table in (call_events, transcriptions):
        connection.execute(delete(table).where(table.c.delivery_id == row_id))
    unused = and_(deliveries.c.id == row_id, deliveries.c.outcome.in_(("refused", "unreadable")))
    proof = {"application_id": delivery.application_id, "signed": delivery.signed, "jti": delivery.jti}
    connection.execute(update(deliveries).where(unused).values({**proof, **verdict, "problem": None, "token": None}))
    return row_id
