"""Taking in: what was announced, which copies are wanted, what a call was.

Everything that one webhook brings is committed together, or not at all. Looking up is `recordings.listing`; the life of
a copy, once it is wanted, is `recordings.leases`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from sqlalchemy import Connection, CursorResult, case, func, insert, literal, select, update

from .database import Database
from .model import Accepted, Announcement, Call, CallEvent, Delivery, Event, State, Transcription, conversation_key
from .tables import call_events, calls, copies, deliveries, recordings, transcriptions

log = logging.getLogger(__name__)


def utc_now() -> datetime:
    """The heart's clock, where no other is given."""
    return datetime.now(UTC)


class _Taken(NamedTuple):
    outcome: str
    recording_id: int
    copy_ids: list[int]


class Catalogue:
    """The catalogue in one database.

    `storages` names where each new recording wants a copy; `grace` is for how many seconds the sweep leaves a new copy
    to the queue's own dispatch. Every method raises `CatalogueUnavailable` when the database cannot commit.
    """

    def __init__(
        self,
        database: Database,
        storages: Sequence[str],
        *,
        clock: Callable[[], datetime] = utc_now,
        grace: float = 30,
    ) -> None:
        self.database = database
        self._storages = tuple(storages)
        self._clock = clock
        self._grace = timedelta(seconds=grace)

    def accept(self, delivery: Delivery, events: Sequence[Event]) -> Accepted:
        """Commit the raw delivery and all that it says. Returns the new copies, which wait for dispatch."""
        with self.database.write() as connection:
            taken = [self._take(connection, delivery, event) for event in events if isinstance(event, Announcement)]
            outcome = taken[0].outcome if taken else "noted"
            recording_id = taken[0].recording_id if taken else None
            delivery_id = self._keep_raw(connection, delivery, outcome=outcome, recording_id=recording_id)
            for event in events:
                if isinstance(event, CallEvent):
                    self._note_call_event(connection, delivery, delivery_id, event)
                elif isinstance(event, Transcription):
                    _note_transcription(connection, delivery, delivery_id, event)
        return Accepted(outcome, tuple(copy_id for one in taken for copy_id in one.copy_ids))

    def keep(self, delivery: Delivery, problem: str) -> None:
        """Commit a delivery that could not be understood, for a person to look at."""
        with self.database.write() as connection:
            self._keep_raw(connection, delivery, outcome="unreadable", problem=problem)

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
        }
        with self.database.write() as connection:
            self._upsert_call(connection, application_id, call.conversation_uuid, told, told)

    def _keep_raw(self, connection: Connection, delivery: Delivery, **verdict: Any) -> int:
        row = {
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
        return _inserted(connection.execute(insert(deliveries), row | verdict))

    # --- Announcements -----------------------------------------------------------------------------------------------

    def _take(self, connection: Connection, delivery: Delivery, event: Announcement) -> _Taken:
        row = self._recording_row(delivery, event)
        statement = self.database.insert(recordings).values(row).on_conflict_do_nothing().returning(recordings.c.id)
        recording_id = connection.execute(statement).scalar()
        if recording_id is None:
            return self._take_again(connection, event, row)
        return _Taken("new", recording_id, self._want_copies(connection, recording_id, event))

    def _take_again(self, connection: Connection, event: Announcement, row: dict[str, Any]) -> _Taken:
        there = connection.execute(
            select(*recordings.c["id", "recording_url", "conversation_key", "empty"])
            .where(recordings.c.application_id == row["application_id"])
            .where(recordings.c.recording_uuid == row["recording_uuid"])
        ).one()
        if there.empty and not event.empty and there.conversation_key == row["conversation_key"]:
            # The first announcement had nothing to fetch, so nothing of it can be overwritten.
            connection.execute(update(recordings).where(recordings.c.id == there.id).values(row))
            return _Taken("new", there.id, self._want_copies(connection, there.id, event))
        if (there.recording_url, there.conversation_key) == (row["recording_url"], row["conversation_key"]):
            return _Taken("repeat", there.id, [])
        log.warning("Recording %s was announced again with other particulars; the first stand.", event.recording_uuid)
        return _Taken("conflict", there.id, [])

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

    def _want_copies(self, connection: Connection, recording_id: int, event: Announcement) -> list[int]:
        if event.empty:
            return []
        now = self._clock()
        wanted = {"recording_id": recording_id, "state": State.PENDING.value, "attempts": 0}
        times = {"held_until": now, "due_at": now + self._grace}
        rows = [wanted | times | {"storage": storage} for storage in self._storages]
        return [_inserted(connection.execute(insert(copies), row)) for row in rows]

    # --- Calls -------------------------------------------------------------------------------------------------------

    def _note_call_event(self, connection: Connection, delivery: Delivery, delivery_id: int, event: CallEvent) -> None:
        for conversation in event.conversation_uuids:
            row = {
                "delivery_id": delivery_id,
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


def _inserted(result: CursorResult[Any]) -> int:
    key = result.inserted_primary_key
    if key is None:
        raise RuntimeError("The database gave no key for a row that it inserted.")
    return int(key[0])


def _note_transcription(connection: Connection, delivery: Delivery, delivery_id: int, event: Transcription) -> None:
    row = {
        "delivery_id": delivery_id,
        "application_id": delivery.application_id,
        "recording_uuid": event.recording_uuid,
        "conversation_uuid": event.conversation_uuid,
        "status": event.status,
        "url": event.url,
        "error": event.error,
    }
    connection.execute(insert(transcriptions), row)
