"""Taking in: what was announced, which copies are wanted, what a call was.

Everything that one webhook brings is committed together, or not at all. Looking up is `recordings.catalogue.listing`;
the life of a copy, once it is wanted, is `recordings.catalogue.leases`.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import Connection, and_, case, delete, func, insert, literal, select, update

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
)
from recordings.timeouts import Deadline

from .database import Database
from .tables import call_events, calls, copies, deliveries, recordings, transcriptions

log = logging.getLogger(__name__)


# Made once: making a statement costs more than running it.
_NEW_DELIVERIES = insert(deliveries)
_NEW_DELIVERY = insert(deliveries).returning(deliveries.c.id)
_NEW_COPIES = insert(copies).returning(*copies.c["id", "recording_id"])


class _Arrival(NamedTuple):
    """What one webhook brings; `kept` as in `Catalogue.accept`."""

    delivery: Delivery
    events: Sequence[Event]
    kept: int | None


class _Taken(NamedTuple):
    """What became of one announcement; `wanted`: its recording is to be copied now."""

    outcome: str
    recording_id: int
    wanted: bool = False


class Intake:
    """The catalogue in one database.

    `storages` names where each new recording wants a copy. After a commit `announce` is told how many copies are due
    now, for the workers of this process. Every method raises `CatalogueUnavailable` when the database cannot commit.
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
        unique = recordings.c["id", "application_id", "recording_uuid"]
        self._new_recordings = database.insert(recordings).on_conflict_do_nothing().returning(*unique)

    @property
    def single_writer(self) -> bool:
        """Whether the database takes one writing transaction at a time, as SQLite does: then group commit pays.

        Postgres takes many at a time, and two transactions with many rows each would wait for each other's rows.
        """
        return self.database.sqlite

    def accept(self, delivery: Delivery, events: Sequence[Event], *, kept: int | None = None) -> Accepted:
        """Commit the raw delivery and all that it says. Returns the new copies, which are due.

        `kept` is the row of a delivery that lies here already and is taken in once more: nothing is doubled.
        """
        return self._accept_all([_Arrival(delivery, events, kept)], Deadline())[0]

    def accept_all(
        self, arrivals: Sequence[tuple[Delivery, Sequence[Event]]], deadline: Deadline | None = None
    ) -> list[Accepted]:
        """The same for several deliveries in one transaction, all or none."""
        return self._accept_all(
            [_Arrival(delivery, events, None) for delivery, events in arrivals], deadline or Deadline()
        )

    def _accept_all(self, arrivals: Sequence[_Arrival], deadline: Deadline) -> list[Accepted]:
        with self.database.write(deadline) as connection:
            taken = self._take_all(connection, arrivals)
            copy_ids = self._want_copies(connection, [one.recording_id for each in taken for one in each if one.wanted])
            self._keep_all(connection, arrivals, taken)
            if copy_ids:
                self.database.tell_others(connection)
        if copy_ids:
            self._announce(sum(len(ids) for ids in copy_ids.values()))
        return [
            Accepted(_outcome(each), tuple(id_ for one in each if one.wanted for id_ in copy_ids[one.recording_id]))
            for each in taken
        ]

    def keep(self, delivery: Delivery, problem: str, deadline: Deadline | None = None) -> None:
        """Commit a delivery that could not be understood, for a person to look at."""
        with self.database.write(deadline) as connection:
            connection.execute(_NEW_DELIVERIES, self._raw(delivery) | {"outcome": "unreadable", "problem": problem})

    def note_call(self, call: Call, application_id: str) -> None:
        """Remember what the answer webhook told; without a conversation id nothing could ever be joined to it."""
        if not call.conversation_uuid:
            return
        told = {
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
            self._upsert_call(connection, application_id, call.conversation_uuid, told, told)

    def _keep_all(
        self, connection: Connection, arrivals: Sequence[_Arrival], taken: Sequence[Sequence[_Taken]]
    ) -> None:
        """The raw deliveries, with all that refers to their rows: to most, which announce a recording, nothing does."""
        plain = []
        for arrival, each in zip(arrivals, taken, strict=True):
            verdict = {"outcome": _outcome(each), "recording_id": each[0].recording_id if each else None}
            others = [event for event in arrival.events if not isinstance(event, Announcement)]
            if arrival.kept is None and not others:
                plain.append(self._raw(arrival.delivery) | verdict)
                continue
            delivery_id = self._keep_one(connection, arrival, verdict)
            for event in others:
                self._note(connection, arrival.delivery, delivery_id, event)
        if plain:
            connection.execute(_NEW_DELIVERIES, plain)

    def _keep_one(self, connection: Connection, arrival: _Arrival, verdict: dict[str, Any]) -> int:
        if arrival.kept is not None:
            return _begin_again(connection, arrival.kept, arrival.delivery, verdict)
        row = self._raw(arrival.delivery) | verdict
        return int(connection.execute(_NEW_DELIVERY, row).scalar_one())

    def _raw(self, delivery: Delivery) -> dict[str, Any]:
        return {
            "received_at": self._clock(),
            "route": delivery.route,
            "method": delivery.method,
            "query": delivery.query,
            "content_type": delivery.content_type,
            "body": delivery.body,
            "application_id": delivery.application_id,
            "signed": delivery.signed,
            "jti": delivery.jti,
        }

    def _note(self, connection: Connection, delivery: Delivery, delivery_id: int, event: Event) -> None:
        if isinstance(event, CallEvent):
            self._note_call_event(connection, delivery, delivery_id, event)
        elif isinstance(event, Transcription):
            self._note_transcription(connection, delivery, delivery_id, event)

    # --- Announcements -----------------------------------------------------------------------------------------------

    def _take_all(self, connection: Connection, arrivals: Sequence[_Arrival]) -> list[list[_Taken]]:
        """What became of the announcements of each arrival, in their order."""
        announced = [
            (place, event, self._recording_row(arrival.delivery, event))
            for place, arrival in enumerate(arrivals)
            for event in arrival.events
            if isinstance(event, Announcement)
        ]
        new = self._insert_new(connection, [row for _, _, row in announced])
        taken: list[list[_Taken]] = [[] for _ in arrivals]
        for place, event, row in announced:
            recording_id = new.pop(_identity(row), None)
            if recording_id is None:
                taken[place].append(self._take_again(connection, event, row))
            else:
                taken[place].append(_Taken("new", recording_id, not event.empty))
        return taken

    def _insert_new(self, connection: Connection, rows: Sequence[dict[str, Any]]) -> dict[tuple[str, str], int]:
        """The ids of those that were not there before, by identity; of two alike the first goes in."""
        if not rows:
            return {}
        result = connection.execute(self._new_recordings, rows)
        return {(row.application_id, row.recording_uuid): row.id for row in result}

    def _take_again(self, connection: Connection, event: Announcement, row: dict[str, Any]) -> _Taken:
        there = connection.execute(
            select(*recordings.c["id", "recording_url", "conversation_key", "empty"])
            .where(recordings.c.application_id == row["application_id"])
            .where(recordings.c.recording_uuid == row["recording_uuid"])
        ).one()
        if there.empty and not event.empty and there.conversation_key == row["conversation_key"]:
            # The first announcement had nothing to fetch, so nothing of it can be overwritten.
            connection.execute(update(recordings).where(recordings.c.id == there.id).values(row))
            return _Taken("new", there.id, True)
        if (there.recording_url, there.conversation_key) == (row["recording_url"], row["conversation_key"]):
            return _Taken("repeat", there.id)
        log.warning("Recording %s was announced again with other particulars; the first stand.", event.recording_uuid)
        return _Taken("conflict", there.id)

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
        }

    def _want_copies(self, connection: Connection, recording_ids: Sequence[int]) -> dict[int, list[int]]:
        """A copy of each of these in each storage; their ids by recording."""
        wanted = {"state": State.PENDING.value, "attempts": 0, "due_at": self._clock()}
        rows = [
            wanted | {"recording_id": recording_id, "storage": storage}
            for recording_id in recording_ids
            for storage in self._storages
        ]
        made: dict[int, list[int]] = defaultdict(list)
        for row in connection.execute(_NEW_COPIES, rows) if rows else ():
            made[row.recording_id].append(row.id)
        return made

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

    # --- Calls -------------------------------------------------------------------------------------------------------

    def _note_call_event(self, connection: Connection, delivery: Delivery, delivery_id: int, event: CallEvent) -> None:
        for conversation in event.conversation_uuids:
            row = {
                "delivery_id": delivery_id,
                "received_at": self._clock(),
                "conversation_key": conversation_key(conversation),
                "leg_uuid": event.leg_uuid,
                "kind": event.kind,
                "timestamp": event.timestamp,
            }
            connection.execute(insert(call_events), row)
        if event.conversation_uuids:
            told, kept = self._call_words(event)
            self._upsert_call(connection, delivery.application_id, event.conversation_uuids[0], told, kept)

    def _call_words(self, event: CallEvent) -> tuple[dict[str, Any], dict[str, Any]]:
        """What an event adds to a call: the values for a new row, and for one that is there (gaps filled only).

        `connect` makes a second leg in the same conversation: its direction and numbers are not the caller's.
        """
        told: dict[str, Any] = {"direction": event.direction, "from_number": event.from_, "to_number": event.to}
        if event.kind == "completed":
            told["completed_at"] = event.timestamp or self._clock()
        if event.kind == "transfer" and len(event.conversation_uuids) == 2:
            told["joined_key"] = conversation_key(event.conversation_uuids[1])
        told = {name: value for name, value in told.items() if value is not None}
        kept: dict[str, Any] = {name: func.coalesce(calls.c[name], value) for name, value in told.items()}
        if "direction" in kept:
            same_leg = (calls.c.leg_uuid.is_(None)) | (calls.c.leg_uuid == literal(event.leg_uuid))
            kept["direction"] = case((same_leg, kept["direction"]), else_=calls.c.direction)
        return told, kept

    def _upsert_call(
        self,
        connection: Connection,
        application_id: str,
        conversation: str,
        told: Mapping[str, Any],
        kept: Mapping[str, Any],
    ) -> None:
        key = {"conversation_key": conversation_key(conversation)}
        row = key | {"conversation_uuid": conversation, "application_id": application_id}
        told = {name: value for name, value in told.items() if value is not None}
        kept = {name: value for name, value in kept.items() if value is not None}
        statement = self.database.insert(calls).values(row | told)
        if kept:
            connection.execute(statement.on_conflict_do_update(index_elements=["conversation_key"], set_=kept))
        else:
            connection.execute(statement.on_conflict_do_nothing())


def _outcome(taken: Sequence[_Taken]) -> str:
    return taken[0].outcome if taken else "noted"


def _identity(row: Mapping[str, Any]) -> tuple[str, str]:
    return row["application_id"], row["recording_uuid"]


def _begin_again(connection: Connection, kept: int, delivery: Delivery, verdict: Mapping[str, Any]) -> int:
    """Forget what this delivery told before. Its first verdict stands, unless that was that it could not be used."""
    for table in (call_events, transcriptions):
        connection.execute(delete(table).where(table.c.delivery_id == kept))
    unused = and_(deliveries.c.id == kept, deliveries.c.outcome.in_(("refused", "unreadable")))
    words = {"application_id": delivery.application_id, "signed": delivery.signed, "jti": delivery.jti}
    mended = {**words, **verdict, "problem": None, "token": None}
    connection.execute(update(deliveries).where(unused).values(mended))
    return kept
