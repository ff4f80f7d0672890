"""Reads sidecars, as input from a stranger: whoever can write into the store can have written them.

A sidecar says what the catalogue would say of one stored recording. Nothing of it is believed that can be checked, and
no path comes out of it: its key must be the sidecar's own name. How sidecars are written is in `sidecar`.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from marshmallow import EXCLUDE, Schema, ValidationError, fields, validate

from recordings.errors import TapekeeperError
from recordings.keys import check_key
from recordings.model import CallBehind, Recording, State

from . import formats
from .sidecar import SCHEMA, SUFFIX

MAX_SIDECAR = 64 * 1024  # bytes; those that are written here have less than 4 KiB
_MAX_SIZE = 2**63 - 1  # the most that a database's big integer holds
_MAX_CHANNELS = 32
_YEARS = range(2000, 2100)

# Neither control characters nor halves of a surrogate pair, which no database takes as text.
_TEXT = r"[^\x00-\x1f\x7f-\x9f\ud800-\udfff]"


class BadSidecar(TapekeeperError):
    """This object is no sidecar that can be used; the message says why."""

    retryable = False


@dataclass(frozen=True, slots=True)
class SidecarContent:
    """What a sidecar says: the recording, without its copies, and the audio. `size` is in bytes."""

    recording: Recording
    key: str
    size: int
    sha256: str
    content_type: str
    stored_at: datetime | None


def read_sidecar(data: bytes, name: str) -> SidecarContent:
    """The content of the sidecar that lies under `name`. Raises `BadSidecar`, or `InvalidKey`."""
    key = name.removesuffix(SUFFIX)
    check_key(key)
    document = _document(data)
    try:
        loaded: dict[str, Any] = _SCHEMA.load(document)
    except ValidationError as error:
        raise BadSidecar(f"It cannot be read as a sidecar: {_first_fault(error.messages)}") from None
    audio = loaded["audio"]
    if audio["key"] != key:
        raise BadSidecar(f"It speaks of another object, {audio['key'][:80]!r}: somebody moved or copied it.")
    kind = formats.of_content_type(audio["content_type"])
    asked_format = loaded["call"].get("format", kind.format)  # older sidecars lack it
    recording = _recording(loaded, asked_format if asked_format in formats.BY_FORMAT else None)
    return SidecarContent(recording, key, audio["size"], audio["sha256"], kind.content_type, loaded["stored_at"])


def _document(data: bytes) -> Any:
    try:
        document = json.loads(data)
    except (ValueError, RecursionError):
        raise BadSidecar("It is not JSON.") from None
    schema = document.get("schema") if isinstance(document, dict) else None
    if type(schema) is int and schema > SCHEMA:
        raise BadSidecar(f"A newer version of Tapekeeper wrote it (schema {schema}): update this program.")
    if schema != SCHEMA or type(schema) is not int:
        raise BadSidecar("It is JSON, and no sidecar of Tapekeeper.")
    return document


def _recording(loaded: dict[str, Any], format: str | None) -> Recording:
    event, call, audio = loaded["event"], loaded["call"], loaded["audio"]
    conversation = call["conversation_uuid"] or loaded["conversation_uuid"]
    times = call["answered_at"], call["completed_at"]
    behind = CallBehind(conversation, call["leg_uuid"], *times) if conversation else None
    return Recording(
        application_id=loaded["application_id"],
        recording_uuid=loaded["recording_uuid"],
        conversation_uuid=loaded["conversation_uuid"],
        recording_url=event["recording_url"],
        state=State.STORED,
        size=event["announced_size"],
        start_time=event["start_time"],
        end_time=event["end_time"],
        received_at=event["received_at"]
        or loaded["stored_at"]
        or event["end_time"]
        or datetime(2000, 1, 1, tzinfo=UTC),
        origin=event["origin"] or "voice",
        flow=call["flow"],
        format=format,
        channels=audio["channels"],
        from_=call["from"],
        to=call["to"],
        direction=call["direction"],
        region_url=call["region_url"],
        timestamp=event["timestamp"],
        call=behind,
    )


def _first_fault(messages: Any, path: str = "") -> str:
    """The first field that is wrong, by its path, and what is wrong with it. Its value is not quoted."""
    while isinstance(messages, dict):
        name, messages = next(iter(messages.items()))
        path = f"{path}.{name}" if path else str(name)
    return f"{path}: {messages[0]}"


# --- The shape -------------------------------------------------------------------------------------------------------


def _text(most: int, least: int = 0) -> fields.String:
    """Text that may be absent."""
    fault = f"This is no text of {least} to {most} plain characters."
    return fields.String(load_default=None, allow_none=True, validate=_plain(most, least, fault))


def _plain(most: int, least: int, fault: str) -> validate.Regexp:
    return validate.Regexp(re.compile(rf"{_TEXT}{{{least},{most}}}\Z"), error=fault)


def _number(most: int) -> fields.Integer:
    return fields.Integer(load_default=None, allow_none=True, strict=True, validate=validate.Range(0, most))


class _Moment(fields.Field[datetime]):
    """A time with its zone, or nothing."""

    def __init__(self) -> None:
        super().__init__(load_default=None, allow_none=True)

    def _deserialize(self, value: Any, attr: str | None, data: Any, **_: Any) -> datetime:
        try:
            moment = datetime.fromisoformat(value).astimezone(UTC)
        except (TypeError, ValueError, OverflowError):
            raise ValidationError("This is no time.") from None
        if moment.year not in _YEARS:
            raise ValidationError("This time is not in this century.")
        return moment


class _Part(Schema):
    class Meta:
        unknown = EXCLUDE


class _Event(_Part):
    start_time, end_time, timestamp, received_at = _Moment(), _Moment(), _Moment(), _Moment()
    announced_size = _number(_MAX_SIZE)
    recording_url = fields.String(load_default="", validate=_plain(2048, 0, "This is no URL."))
    origin = _text(16)


class _Call(_Part):
    flow, direction = _text(32), _text(255)
    format = fields.String(allow_none=True, validate=_text(8).validate)
    from_ = fields.String(
        data_key="from", attribute="from", load_default=None, allow_none=True, validate=_text(255).validate
    )
    to, region_url = _text(255), _text(2048)
    conversation_uuid, leg_uuid = _text(255), _text(255)
    answered_at, completed_at = _Moment(), _Moment()


class _Audio(_Part):
    key = fields.String(required=True)
    size = fields.Integer(required=True, strict=True, validate=validate.Range(0, _MAX_SIZE))
    sha256 = fields.String(required=True, validate=validate.Regexp(r"[0-9a-f]{64}\Z", error="This is no SHA-256."))
    content_type = _text(255)
    channels = _number(_MAX_CHANNELS)


class _Sidecar(_Part):
    recording_uuid = fields.String(required=True, validate=_plain(255, 1, "This is no id."))
    conversation_uuid = fields.String(load_default="", validate=_plain(255, 0, "This is no id."))
    application_id = fields.String(required=True, validate=_plain(255, 0, "This is no id."))
    event = fields.Nested(_Event, required=True)
    call = fields.Nested(_Call, required=True)
    audio = fields.Nested(_Audio, required=True)
    stored_at = _Moment()


_SCHEMA = _Sidecar()  # made once: making one costs more than reading a sidecar
