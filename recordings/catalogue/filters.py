"""The grammar by which people and programs choose recordings: pages, API, command line and export read it alike.

A filter is a plain value, read from text fields and written back to them. What it finds is in `search`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Literal

from recordings.clock import end_from, iso_utc, moment_from, utc_now
from recordings.errors import InvalidInput
from recordings.model import State

NumberMatch = Literal["exact", "prefix", "suffix"]
FORMATS = ("mp3", "wav", "ogg")
DIRECTIONS = ("inbound", "outbound")
NUMBER_MATCHES: tuple[NumberMatch, ...] = ("exact", "prefix", "suffix")

_LEAST_DIGITS = 4  # fewer match a large part of all numbers
_MOST_DIGITS = 32
_LONGEST = 1000  # characters of a value: a storage's URL is the longest
_NUMBER_SIGNS = " +-.()/"  # people write them into numbers
_YES, _NO = ("true", "yes", "1", "on"), ("false", "no", "0", "off")


class InvalidFilter(InvalidInput):
    """A filter or a cursor that cannot be used; the message says what was wrong and what is right."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordingFilter:
    """Which recordings are wanted: those that meet every condition. None and () set no condition.

    With a `storage`, `states` are those of the copies there; without one, those that the recordings show. `number`
    holds digits alone and is looked for in both numbers of the call. A recording belongs to the range when it came at
    `since` or later and before `until`. `min_seconds` keeps recordings whose duration is not measured yet. Recordings
    without audio are left out, unless `with_empty` is true or `states` names them.
    """

    states: tuple[State, ...] = ()
    storage: str | None = None
    flow: str | None = None
    direction: str | None = None
    number: str | None = None
    number_match: NumberMatch = "exact"
    conversation: str | None = None
    recording_uuid: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    min_seconds: float | None = None
    format: str | None = None
    application: str | None = None
    has_transcript: bool | None = None
    with_empty: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "states", tuple(state for state in State if state in self.states))  # in one order

    @property
    def fingerprint(self) -> str:
        """A text that differs between filters, by which a cursor knows its own.

        The range of dates has no part in it: "the last seven days" are others at each page.
        """
        text = json.dumps({name: str(value) for name, value in asdict(self).items() if name not in ("since", "until")})
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def parse_filter(
    fields: Mapping[str, str | Sequence[str]], *, clock: Callable[[], datetime] = utc_now
) -> RecordingFilter:
    """Read a filter from text fields, as a form, a query or a command line brings them. Empty fields set no condition.

    Several states are separated by commas, or given as several values. Raises `InvalidFilter`.
    """
    unknown = sorted(set(fields) - set(_FIELDS))
    if unknown:
        raise InvalidFilter(f"There is no filter {unknown[0]!r}: use {', '.join(_FIELDS)}.")
    values: dict[str, Any] = {}
    for name, (attribute, parse) in _FIELDS.items():
        text = _one_text(name, fields.get(name, ""))
        if text:
            values[attribute] = parse(name, text, clock())
    if "number" not in values:
        values.pop("number_match", None)
    return _checked(RecordingFilter(**values))


def filter_fields(filter: RecordingFilter) -> dict[str, str]:
    """The text fields from which `parse_filter` makes this filter: only those that set a condition."""
    fields: dict[str, str] = {}
    for name, (attribute, _) in _FIELDS.items():
        value = getattr(filter, attribute)
        if value not in (None, ()) and not (name == "with_empty" and not value):
            fields[name] = _as_text(value)
    if filter.number is None:
        del fields["number_match"]
    return fields


def _as_text(value: Any) -> str:
    if isinstance(value, datetime):
        return iso_utc(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    return ",".join(state.value for state in value) if isinstance(value, tuple) else f"{value}"


def _one_text(name: str, value: str | Sequence[str]) -> str:
    texts = [value] if isinstance(value, str) else [text for text in value if text.strip()]
    if len(texts) > 1 and name != "state":
        raise InvalidFilter(f"{name} was given {len(texts)} times: give it once.")
    text = ",".join(texts).strip()
    if len(text) > _LONGEST or not text.isprintable():
        raise InvalidFilter(f"{name} must be at most {_LONGEST} characters, without control characters.")
    return text


def _checked(filter: RecordingFilter) -> RecordingFilter:
    if filter.number and filter.number_match != "exact" and len(filter.number) < _LEAST_DIGITS:
        raise InvalidFilter(f"number has {len(filter.number)} digits: give at least {_LEAST_DIGITS} of them.")
    if filter.since and filter.until and filter.since >= filter.until:
        raise InvalidFilter(f"since ({iso_utc(filter.since)}) must be before until ({iso_utc(filter.until)}).")
    return filter


# --- One parser for each kind of field -------------------------------------------------------------------------------


def _text(name: str, text: str, now: datetime) -> str:
    return text


def _states(name: str, text: str, now: datetime) -> tuple[State, ...]:
    names = [part.strip().lower() for part in text.split(",") if part.strip()]
    wrong = [part for part in names if part not in set(State)]
    if wrong:
        raise InvalidFilter(f"{wrong[0]!r} is no state: use {', '.join(State)}.")
    return tuple(State(name) for name in names)


def _choice(*allowed: str) -> Callable[[str, str, datetime], str]:
    def parse(name: str, text: str, now: datetime) -> str:
        if text.lower() not in allowed:
            raise InvalidFilter(f"{name} cannot be {text!r}: use {', '.join(allowed)}.")
        return text.lower()

    return parse


def _number(name: str, text: str, now: datetime) -> str:
    digits = text.translate(dict.fromkeys(map(ord, _NUMBER_SIGNS)))
    if not (digits.isascii() and digits.isdigit() and len(digits) <= _MOST_DIGITS):
        raise InvalidFilter(f"number must be a telephone number, such as +44 7700 900001, or {_LEAST_DIGITS} digits.")
    return digits


def _moment(parse: Callable[[str, datetime], datetime]) -> Callable[[str, str, datetime], datetime]:
    def parse_field(name: str, text: str, now: datetime) -> datetime:
        try:
            return parse(text, now)
        except ValueError as error:
            raise InvalidFilter(f"{name}: {error}") from None

    return parse_field


def _seconds(name: str, text: str, now: datetime) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1
    if not 0 <= seconds <= 86_400:
        raise InvalidFilter(f"{name} cannot be {text!r}: give seconds from 0 to 86400.")
    return seconds


def _switch(name: str, text: str, now: datetime) -> bool:
    if text.lower() not in (*_YES, *_NO):
        raise InvalidFilter(f"{name} cannot be {text!r}: use true or false.")
    return text.lower() in _YES


# The name of each field, the attribute that it sets, and how its text is read.
_FIELDS: dict[str, tuple[str, Callable[[str, str, datetime], Any]]] = {
    "state": ("states", _states),
    "storage": ("storage", _text),
    "flow": ("flow", _text),
    "direction": ("direction", _choice(*DIRECTIONS)),
    "number": ("number", _number),
    "number_match": ("number_match", _choice(*NUMBER_MATCHES)),
    "conversation": ("conversation", _text),
    "recording_uuid": ("recording_uuid", _text),
    "since": ("since", _moment(moment_from)),
    "until": ("until", _moment(end_from)),
    "min_seconds": ("min_seconds", _seconds),
    "format": ("format", _choice(*FORMATS)),
    "application": ("application", _text),
    "has_transcript": ("has_transcript", _switch),
    "with_empty": ("with_empty", _switch),
}
