"""How the pages write a time, a duration, a size and a state: the filters of the templates."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

from recordings.catalogue.search import RecordingRow
from recordings.masking import masked
from recordings.model import State

_MOST_SHOWN = 64 * 1024  # bytes of a body
_UNITS = ("KiB", "MiB", "GiB", "TiB")

MOVING = (State.PENDING, State.FETCHING)  # soon another one: a page that shows it is brought up to date often
STATES = {
    State.PENDING: "Its turn has not come yet; a worker takes it by itself.",
    State.FETCHING: "A worker is fetching it now.",
    State.WAITING: "An attempt failed, and it is tried again by itself.",
    State.BLOCKED: "A setting, a key or a permission is wrong, and only a person can mend it.",
    State.FAILED: "It is not tried again by itself.",
    State.STORED: "The storage has confirmed its size and its checksum.",
    State.EMPTY: "Nothing was recorded.",
}


def state_word(state: State) -> str:
    """The state as a word, such as `Stored`."""
    return state.value.capitalize()


def state_meaning(state: State) -> str:
    """A sentence that says what the state means."""
    return STATES[state]


def moment(time: datetime) -> str:
    """A point in time to the second, with its zone."""
    return f"{time.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def until_then(time: datetime, now: datetime) -> str:
    """How far a point in time lies ahead: `in 3 days`."""
    hours = max(0, (time - now) // timedelta(hours=1))
    number, unit = (hours // 24, "day") if hours >= 48 else (hours, "hour")
    return f"in {number} {unit}{'' if number == 1 else 's'}" if number else "in less than an hour"


def duration(row: RecordingRow) -> str:
    """`3:05`, as it was measured from the audio; `about 3:05`, as Vonage announced it; or nothing."""
    return row.duration("about ")


def size(number: int) -> str:
    """Bytes as people read them: `3.4 MiB`."""
    if number < 1024:
        return f"{number} bytes"
    power = min(len(_UNITS), (number.bit_length() - 1) // 10)
    return f"{number / 1024**power:.1f} {_UNITS[power - 1]}"


def ago(seconds: float) -> str:
    """For how long something has been so: `8 s`, `3 minutes`, `5 hours`."""
    for length, unit in ((86400, "days"), (3600, "hours"), (60, "minutes")):
        if seconds >= 2 * length:
            return f"{seconds // length:.0f} {unit}"
    return f"{seconds:.0f} s"


def readable(body: bytes) -> str:
    """What somebody sent, as people read it: JSON with a line for each field, secrets masked, no control characters."""
    text = body[:_MOST_SHOWN].decode("utf-8", "replace")
    more = "" if len(body) <= _MOST_SHOWN else "\n… and more: flask deliveries show"
    text = text if more else _indented(text) or text
    # Only now: JSON may name any character by its number, also half of one, which no page can hold.
    text = "".join(sign if sign.isprintable() or sign in "\t\r\n" else "\N{REPLACEMENT CHARACTER}" for sign in text)
    return masked(text) + more


def _indented(text: str) -> str:
    """JSON with a line for each field; "" for what is no JSON, and for what its indents would make very long."""
    pieces: list[str] = []
    length = 0
    try:
        for piece in json.JSONEncoder(indent=2, ensure_ascii=False).iterencode(json.loads(text)):
            pieces.append(piece)
            length += len(piece)
            if length > 4 * _MOST_SHOWN:
                return ""
    except (ValueError, RecursionError):
        return ""
    return "".join(pieces)


FILTERS = (state_word, state_meaning, moment, until_then, duration, size, ago, masked)
