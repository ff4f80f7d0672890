"""The time of day, and how a time is written."""

from __future__ import annotations

from datetime import UTC, datetime


def utc_now() -> datetime:
    """The heart's clock, where no other is given: an aware datetime in UTC."""
    return datetime.now(UTC)


def iso_utc(moment: datetime) -> str:
    """An aware datetime as ISO 8601 in UTC, such as `2026-11-22T12:00:00Z`; with its fraction of a second, if any."""
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")
