"""A place in a list of recordings, as a text that a program hands back to get the next page.

It is signed, so that nobody makes one up, and it belongs to one filter: with another one it would page nonsense.
"""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from itsdangerous import BadData, URLSafeSerializer

from .filters import InvalidFilter, RecordingFilter

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_LONGEST = 500


class Place(NamedTuple):
    """Where a recording stands in the list: by the time it came, and by its row where several came at once."""

    received_at: datetime
    row_id: int


def to_cursor(place: Place, filter: RecordingFilter, secret: bytes) -> str:
    """The cursor that goes on after this place."""
    values = [(place.received_at - _EPOCH) // _MICROSECOND, place.row_id, filter.fingerprint]
    return _serializer(secret).dumps(values)


def to_place(cursor: str, filter: RecordingFilter, secret: bytes) -> Place:
    """Where this cursor goes on. Raises `InvalidFilter` unless it was made by `to_cursor` for the same filter."""
    try:
        microseconds, row_id, fingerprint = _serializer(secret).loads(cursor[:_LONGEST])
    except (BadData, ValueError):
        raise InvalidFilter("This cursor is damaged or made up: use next_cursor of the last page, or none.") from None
    if fingerprint != filter.fingerprint:
        raise InvalidFilter("This cursor belongs to another filter: keep the filter, or begin without a cursor.")
    return Place(_EPOCH + microseconds * _MICROSECOND, row_id)


def _serializer(secret: bytes) -> URLSafeSerializer:
    keywords = {"key_derivation": "hmac", "digest_method": hashlib.sha256}
    return URLSafeSerializer(secret, salt="recordings.search", signer_kwargs=keywords)
