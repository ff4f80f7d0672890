"""How people ask the audit: by person, time, recording and action, in text fields that are read here.

What is read is given to `Audit.search` and `Audit.entries` as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from recordings.access import Action, clean_name
from recordings.clock import end_from, moment_from, utc_now
from recordings.errors import InvalidInput

from .database import Database
from .listing import last_row

QUERY_FIELDS = ("person", "since", "until", "recording", "action")
_LONGEST = 300  # characters of a field


def audit_conditions(
    database: Database, fields: Mapping[str, str], *, clock: Callable[[], datetime] = utc_now
) -> dict[str, Any]:
    """The conditions that these fields set; an empty field sets none. Raises `InvalidInput`, which says what is right.

    `recording` is a recording_uuid. A day alone as `until` means the end of that day.
    """
    unknown = sorted(set(fields) - set(QUERY_FIELDS))
    if unknown:
        raise InvalidInput(f"There is no field {unknown[0]!r}: use {', '.join(QUERY_FIELDS)}.")
    given = {name: text.strip() for name, text in fields.items() if text.strip()}
    for name, text in given.items():
        if len(text) > _LONGEST or not text.isprintable():
            raise InvalidInput(f"{name} must be at most {_LONGEST} characters, without control characters.")
    conditions = {name: _PARSERS[name](text, clock()) for name, text in given.items() if name != "recording"}
    if "recording" in given:
        conditions["recording_id"] = _row(database, given["recording"])
    if conditions.get("since") and conditions.get("until") and conditions["since"] >= conditions["until"]:
        raise InvalidInput("The first day must not be after the last day.")
    return conditions


def _row(database: Database, recording_uuid: str) -> int:
    row = last_row(database, recording_uuid)
    if row is None:
        raise InvalidInput("There is no recording with this id: copy its recording_uuid from the recording's page.")
    return row


def _moment(parse: Callable[[str, datetime], datetime]) -> Callable[[str, datetime], datetime]:
    def parse_field(text: str, now: datetime) -> datetime:
        try:
            return parse(text, now)
        except ValueError as error:
            raise InvalidInput(str(error)) from None

    return parse_field


def _action(text: str, now: datetime) -> str:
    if text not in set(Action):
        raise InvalidInput(f"There is no action {text!r}: write one of {', '.join(Action)}.")
    return text


_PARSERS: dict[str, Callable[[str, datetime], Any]] = {
    "person": lambda text, now: clean_name(text),
    "since": _moment(moment_from),
    "until": _moment(end_from),
    "action": _action,
}
