"""How long another server asks us to wait: the header Retry-After, which Vonage, Google and Azure all send."""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime


def parse_retry_after(value: str | None, now: datetime) -> float | None:
    """The seconds to wait from `now` on. None for a header that is absent or that means nothing; never raises.

    A header holds whole seconds or a date: https://www.rfc-editor.org/rfc/rfc9110#section-10.2.3
    """
    if value is None:
        return None
    if value.strip().isdecimal():
        return float(value.strip()[:9])
    try:
        moment = parsedate_to_datetime(value)
    except (ValueError, OverflowError):  # it is no date, or a date outside the calendar
        return None
    # A date with the zone -0000 comes back without a zone; it is meant in UTC.
    return max(0.0, (moment.replace(tzinfo=moment.tzinfo or UTC) - now).total_seconds())
