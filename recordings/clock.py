"""The time of day, how a time and a duration are written, and how people write a time."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta

_UNITS = {"m": "minutes", "h": "hours", "d": "days"}
_FIRST, _END = datetime(1970, 1, 1, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC)  # what people may mean


def utc_now() -> datetime:
    """The heart's clock, where no other is given: an aware datetime in UTC."""
    return datetime.now(UTC)


def iso_utc(moment: datetime) -> str:
    """An aware datetime as ISO 8601 in UTC, such as `2026-11-22T12:00:00Z`; with its fraction of a second, if any."""
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def clock_text(seconds: float) -> str:
    """Seconds as a player shows them: `3:05`, `1:02:03`."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def moment_from(text: str, now: datetime) -> datetime:
    """A point in time in UTC: `2026-11-22`, `2026-11-22T12:30Z` (UTC without a zone), or `30m`, `12h`, `7d` before now.

    Raises `ValueError`, which says what to write.
    """
    ago = re.fullmatch(r"([0-9]{1,5})([mhd])", text.strip())
    if ago:
        return max(_FIRST, now - timedelta(**{_UNITS[ago[2]]: int(ago[1])}))
    try:
        moment = datetime.fromisoformat(text.strip())
        moment = moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        raise _no_moment(text) from None
    if not _FIRST <= moment < _END:
        raise _no_moment(text)
    return moment


def end_from(text: str, now: datetime) -> datetime:
    """The same for the end of a range: a date alone means the end of that day, as in "from Monday until Friday"."""
    moment = moment_from(text, now)
    try:
        date.fromisoformat(text.strip())
    except ValueError:
        return moment
    end = moment + timedelta(days=1)
    if end >= _END:  # it must be written and read again
        raise _no_moment(text)
    return end


def _no_moment(text: str) -> ValueError:
    return ValueError(
        f"{text!r} is no point in time: write 2026-11-22, 2026-11-22T12:30Z, or 30m, 12h, 7d for so long ago."
    )
