"""What becomes known of a call: the answer webhook tells some of it, its events tell the rest, in any order.

Each of them writes into the call's one row, within the caller's transaction. Recordings are in `intake`.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, case, func, insert, literal

from recordings.model import CallEvent, conversation_key

from .database import Database
from .tables import call_events, calls


def note_call_event(
    database: Database,
    connection: Connection,
    application_id: str,
    delivery_id: int,
    event: CallEvent,
    now: datetime,
) -> set[str]:
    """Insert the event, and what it adds to the call. Returns what `upsert_call` returns."""
    for conversation in event.conversation_uuids:
        row = {
            "delivery_id": delivery_id,
            "received_at": now,
            "conversation_key": conversation_key(conversation),
            "leg_uuid": event.leg_uuid,
            "kind": event.kind,
            "timestamp": event.timestamp,
        }
        connection.execute(insert(call_events), row)
    if not event.conversation_uuids:
        return set()
    new_values, gap_fillers = _call_values(event, now)
    return upsert_call(database, connection, application_id, event.conversation_uuids[0], new_values, gap_fillers)


def _call_values(event: CallEvent, now: datetime) -> tuple[dict[str, Any], dict[str, Any]]:
    """What an event adds to a call: the values of a new row, and those of a known one, where only gaps are filled.

    `connect` makes a second leg in the same conversation: its direction and numbers are not the caller's.
    """
    values: dict[str, Any] = {"direction": event.direction, "from_number": event.from_, "to_number": event.to}
    if event.kind == "completed":
        values["completed_at"] = event.timestamp or now
    if event.kind == "transfer" and len(event.conversation_uuids) == 2:
        values["joined_key"] = conversation_key(event.conversation_uuids[1])
    new_values = {name: value for name, value in values.items() if value is not None}
    gap_fillers: dict[str, Any] = {name: func.coalesce(calls.c[name], value) for name, value in new_values.items()}
    if "direction" in gap_fillers:
        same_leg = (calls.c.leg_uuid.is_(None)) | (calls.c.leg_uuid == literal(event.leg_uuid))
        gap_fillers["direction"] = case((same_leg, gap_fillers["direction"]), else_=calls.c.direction)
    return new_values, gap_fillers


def upsert_call(
    database: Database,
    connection: Connection,
    application_id: str,
    conversation: str,
    new_values: Mapping[str, Any],
    changes: Mapping[str, Any],
) -> set[str]:
    """Insert the call with its new values, or make these changes to the row that is there. None changes nothing.

    Returns the conversations whose recordings the call may be behind: its own, and the one that it moved into.
    """
    key = {"conversation_key": conversation_key(conversation)}
    row = key | {"conversation_uuid": conversation, "application_id": application_id}
    row |= {name: value for name, value in new_values.items() if value is not None}
    changes = {name: value for name, value in changes.items() if value is not None}
    statement = database.insert(calls).values(row)
    if changes:
        statement = statement.on_conflict_do_update(index_elements=["conversation_key"], set_=changes)
    else:
        statement = statement.on_conflict_do_nothing()
    written = connection.execute(statement.returning(*calls.c["conversation_key", "joined_key"])).first()
    return {joined for joined in written or () if joined is not None}
