"""The option `--since`: a point in time as people write it."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import click

_UNITS = {"m": "minutes", "h": "hours", "d": "days"}


def parse_since(context: click.Context, parameter: click.Parameter, value: str | None) -> datetime | None:
    """An option's callback: `2026-11-22`, `2026-11-22T12:30Z` (UTC without a zone), or `30m`, `12h`, `7d` ago.

    Raises click's usage error, which says what to write.
    """
    if value is None:
        return None
    ago = re.fullmatch(r"([0-9]{1,5})([mhd])", value.strip())
    if ago:
        return datetime.now(UTC) - timedelta(**{_UNITS[ago[2]]: int(ago[1])})
    try:
        since = datetime.fromisoformat(value.strip())
    except ValueError:
        raise click.BadParameter(
            f"{value!r} is no point in time: write 2026-11-22, 2026-11-22T12:30Z, or 30m, 12h, 7d for so long ago."
        ) from None
    return since if since.tzinfo else since.replace(tzinfo=UTC)
