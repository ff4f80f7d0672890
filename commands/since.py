"""The option `--since`: a point in time as people write it."""

from __future__ import annotations

from datetime import datetime

import click

from recordings.clock import moment_from, utc_now


def parse_since(context: click.Context, parameter: click.Parameter, value: str | None) -> datetime | None:
    """An option's callback: `2026-11-22`, `2026-11-22T12:30Z` (UTC without a zone), or `30m`, `12h`, `7d` ago.

    Raises click's usage error, which says what to write.
    """
    if value is None:
        return None
    try:
        return moment_from(value, utc_now())
    except ValueError as error:
        raise click.BadParameter(str(error)) from None
