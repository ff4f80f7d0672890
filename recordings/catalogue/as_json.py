"""Recordings and deliveries as programs see them: on the command line with `--json`, in the API, and in events."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from recordings.clock import iso_utc
from recordings.model import Copy, Recording

if TYPE_CHECKING:
    from .inbox import StoredDelivery


def as_json_object(recording: Recording) -> dict[str, Any]:
    """What can be given to `json.dumps`."""
    return {
        "recording_uuid": recording.recording_uuid,
        "conversation_uuid": recording.conversation_uuid,
        "state": recording.state.value,
        "start_time": plain(recording.start_time),
        "end_time": plain(recording.end_time),
        "size": recording.size,
        "received_at": plain(recording.received_at),
        "copies": [copy_as_json_object(copy) for copy in recording.copies],
        "application_id": recording.application_id,
        "origin": recording.origin,
        "flow": recording.flow,
        "format": recording.format,
        "channels": recording.channels,
        "direction": recording.direction,
        "from": recording.from_,
        "to": recording.to,
    }


def copy_as_json_object(copy: Copy) -> dict[str, Any]:
    """The same for one copy."""
    return {
        "storage": copy.storage,
        "key": copy.key,
        "state": copy.state.value,
        "size": copy.size,
        "sha256": copy.sha256,
        "content_type": copy.content_type,
        "attempts": copy.attempts,
        "error": copy.error,
        "stored_at": plain(copy.stored_at),
        "next_attempt_at": plain(copy.next_attempt_at),
    }


def delivery_as_json_object(stored: StoredDelivery) -> dict[str, Any]:
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


def plain(value: Any) -> Any:
    """A value of a database row with each time in it as text."""
    if isinstance(value, datetime):
        return iso_utc(value)
    return {name: plain(item) for name, item in value.items()} if isinstance(value, dict) else value
