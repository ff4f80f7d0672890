"""A recording event in which all is well, and what tests make of it."""

from __future__ import annotations

import json

GOOD = {
    "recording_url": "https://api.nexmo.com/v1/files/aaaa",
    "recording_uuid": "rec-1",
    "conversation_uuid": "CON-1",
    "size": 5,
    "start_time": "2024-05-01T10:00:00Z",
    "end_time": "2024-05-01T10:00:30Z",
    "timestamp": "2024-05-01T10:00:31.744Z",
}


def changed(**fields):
    """The body of the good event with these fields."""
    return json.dumps(GOOD | fields).encode()


def lacking(name):
    """The body of the good event without this field."""
    return json.dumps({key: value for key, value in GOOD.items() if key != name}).encode()
