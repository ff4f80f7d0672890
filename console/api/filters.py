"""The filter of recordings as parameters: the names and the meanings of `recordings.catalogue.filters`.

A list takes them in the address, all but the telephone number: addresses end in logs. A search takes them all as JSON.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from marshmallow import Schema, fields, validate

from recordings.catalogue.filters import DIRECTIONS, FORMATS, NUMBER_MATCHES, RecordingFilter, parse_filter
from recordings.model import State

from .fields import TIME, WHEN, Body, choice, limit, words

_STATES = ", ".join(State)


def _time(about: str) -> fields.String:
    pattern = validate.Regexp(TIME, error=f"Write {WHEN}.")
    return fields.String(validate=pattern, metadata={"description": about, "examples": ["7d"]})


class Conditions(Schema):
    """The conditions that hold no number. Recordings that meet all that are given are chosen."""

    state = fields.List(
        fields.String(validate=validate.OneOf([*State], error=f"Use {_STATES}; repeat it for several.")),
        validate=validate.Length(1, len(State)),
        metadata={"description": "In one of these states; with `storage`, those of the copies there."},
    )
    storage = words("With a copy in this storage: its address, as `/api/storages` lists it.")
    flow = words("Of this call flow.", most=32)
    direction = choice("Of calls in this direction.", *DIRECTIONS)
    conversation = words("Of this conversation.", most=255)
    recording_uuid = words("The one with this id of Vonage's.", most=255)
    since = _time(f"That came then or later: {WHEN}.")
    until = _time("That came before then; a date alone means the end of that day.")
    min_seconds = fields.Float(
        validate=validate.Range(0, 86_400),
        metadata={"description": "Whose audio is not shorter, if it is measured."},
    )
    format = choice("In this audio format.", *FORMATS)
    application = words("Of this Vonage application.", most=255)
    has_transcript = fields.Boolean(metadata={"description": "With a transcription, or without one."})
    with_empty = fields.Boolean(metadata={"description": "Also those that Vonage announced without audio."})


class NumberConditions(Body, Conditions):
    """The whole filter, as JSON."""

    number = fields.String(
        validate=validate.Regexp(r"^\+?[0-9][0-9 ().\-]{2,30}[0-9]$", error="Write a number, or 4 to 32 digits of it."),
        metadata={"description": "From or to this telephone number.", "examples": ["+44 7700 900001"]},
    )
    number_match = choice("Whether `number` is the whole number, its beginning or its end.", *NUMBER_MATCHES)


class Paging(Schema):
    """Which page of a list is wanted."""

    cursor = fields.String(
        validate=validate.Regexp(r"^[A-Za-z0-9_-]{20,400}\.[A-Za-z0-9_-]{40,50}$", error="Use next_cursor of a page."),
        metadata={"description": "The `next_cursor` of the page before, with the same filter; without it the newest."},
    )
    limit = limit()


class RecordingQuery(Conditions, Paging):
    """The parameters of the list."""

    error_messages = {  # noqa: RUF012 - marshmallow's own way
        "unknown": f"There is no such parameter: use {', '.join([*Conditions._declared_fields, 'cursor', 'limit'])}. "
        "A telephone number must not stand in an address: POST it to /api/recordings/search."
    }


class RecordingSearch(NumberConditions, Paging):
    """The body of a search."""


def filter_from(given: Mapping[str, Any]) -> RecordingFilter:
    """The filter that the parameters mean. Raises `InvalidFilter`."""
    return parse_filter({name: _as_field(value) for name, value in given.items() if name not in ("cursor", "limit")})


def _as_field(value: Any) -> str | list[str]:
    if isinstance(value, bool):
        return str(value).lower()
    return value if isinstance(value, list) else str(value)
