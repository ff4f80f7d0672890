"""The shapes of what Vonage sends, as marshmallow schemas: liberal in what they take, exact in what they give.

Each schema loads the keyword arguments of a value in `recordings.model`. Which schema fits a payload is decided in
`shapes`. Unknown fields are left out, because Vonage adds new ones from time to time.

No id is checked against RFC 4122: the leg ids of real calls have no dashes, and Vonage's guides show malformed ids.
https://developer.vonage.com/en/voice/voice-api/webhook-reference
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from marshmallow import EXCLUDE, Schema, ValidationError, fields

from .payload import MAX_ID, UNSTORABLE, storable

log = logging.getLogger(__name__)

MAX_URL = 2048
MAX_TEXT = 1024
MAX_SIZE = 2**63 - 1  # the most that a database's big integer holds

# A time outside of this range is a mistake, and a date near the calendar's ends breaks arithmetic with deadlines.
_PLAUSIBLE = (datetime(2000, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC))


def read_time(value: object) -> datetime | None:
    """A time in UTC, or None when it cannot be read: an unreadable time must not cost a recording.

    Vonage's own samples differ in all of this: with milliseconds or without, with `T` or a space, with a time zone or
    without one, which then means UTC.
    https://developer.vonage.com/en/api/voice#getCalls
    """
    if not isinstance(value, str):
        return None
    try:
        moment = datetime.fromisoformat(value.strip())
        moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError):
        return None
    return moment if _PLAUSIBLE[0] <= moment < _PLAUSIBLE[1] else None


def _leave_out(name: str | None, value: object, what: str) -> None:
    """Say that an optional field cannot be read: it must not cost the recording."""
    shown = value[:40] if isinstance(value, str) else type(value).__name__
    log.warning("%s cannot be read as %s and is left out: %a", name, what, shown)


class Identifier(fields.Field[str]):
    """Text of 1 to 255 characters without control characters.

    In a field that is not required, empty text is absent, and what is no id is left out.
    """

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **_: Any) -> Any:
        fault = _fault_of_id(value)
        if not fault:
            return value
        if self.required:
            raise ValidationError(fault)
        if value != "":
            _leave_out(attr, value, "an id")
        return None


def _fault_of_id(value: object) -> str:
    if not isinstance(value, str):
        return "This id is no text, or it stands twice."
    if not value.strip():
        return "This id is empty."
    return "" if storable(value, MAX_ID) else f"This id has control characters, or more than {MAX_ID} characters."


class Size(fields.Field[int]):
    """A number of bytes, or its digits as text, as they come in a GET. What is neither is left out."""

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **_: Any) -> Any:
        size = value
        if isinstance(value, str) and len(value) <= 20 and value.isascii() and value.isdecimal():
            size = int(value)
        if type(size) is int and 0 <= size <= MAX_SIZE:
            return size
        if value != "":
            _leave_out(attr, value, "a number of bytes")
        return None


class Moment(fields.Field[datetime]):
    """A time. When it is unreadable, it is left out."""

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **_: Any) -> Any:
        moment = read_time(value)
        if moment is None and value != "":
            _leave_out(attr, value, "a time")
        return moment


class AudioUrl(fields.Field[str]):
    """Where the audio is. Empty text announces an empty recording, and so does `null`.

    https://github.com/Vonage/vonage-node-sdk/issues/132
    """

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **_: Any) -> Any:
        if not isinstance(value, str):
            raise ValidationError("This URL is no text, or it stands twice.")
        if not storable(value, MAX_URL):
            raise ValidationError(f"This URL has control characters, or more than {MAX_URL} characters.")
        return value.strip()


class PlainText(fields.Field[str]):
    """Text that is useful, but never a reason to refuse the event: anything that cannot be stored gives None."""

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **_: Any) -> Any:
        if type(value) is int:
            return str(value) if abs(value) <= MAX_SIZE else None
        return value if isinstance(value, str) and value and storable(value, MAX_TEXT) else None


class Failure(fields.Field[str]):
    """Why a transcription failed: text, or an object, which becomes JSON text."""

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **_: Any) -> Any:
        try:
            text = value if isinstance(value, str) else json.dumps(value)
        except RecursionError:
            return "(nested too deep to keep; see the raw delivery)"
        return UNSTORABLE.sub(" ", text)[:MAX_TEXT].strip() or None


def _optional(kind: type[fields.Field[Any]], data_key: str | None = None) -> Any:
    return kind(load_default=None, allow_none=True, data_key=data_key)


class Liberal(Schema):
    """The base of all schemas: unknown fields are left out."""

    class Meta:
        unknown = EXCLUDE


class RecordingSchema(Liberal):
    """The recording webhook: only its id and its URL are indispensable.

    https://developer.vonage.com/en/voice/voice-api/webhook-reference#record
    """

    recording_uuid = Identifier(required=True)
    conversation_uuid = _optional(Identifier)
    recording_url = AudioUrl(required=True, allow_none=True)
    size = _optional(Size)
    start_time = _optional(Moment)
    end_time = _optional(Moment)
    timestamp = _optional(Moment)


class RtcRecordingSchema(RecordingSchema):
    """`audio:record:done`, flattened: the recordings of the Conversation API have other names for the same fields.

    https://developer.vonage.com/en/conversation/concepts/event
    """

    recording_uuid = Identifier(required=True, data_key="recording_id")
    conversation_uuid = _optional(Identifier, "conversation_id")
    recording_url = AudioUrl(required=True, allow_none=True, data_key="destination_url")
    format = _optional(PlainText)


class TranscriptionSchema(Liberal):
    """The transcription webhook. It has no time, and no URL when the transcription failed.

    https://developer.vonage.com/en/voice/voice-api/webhook-reference#transcription
    """

    recording_uuid = Identifier(required=True)
    conversation_uuid = _optional(Identifier)
    status = _optional(PlainText)
    url = _optional(AudioUrl, "transcription_url")
    error = _optional(Failure)


class RtcTranscriptionSchema(TranscriptionSchema):
    """`audio:transcribe:done`, flattened."""

    recording_uuid = Identifier(required=True, data_key="recording_id")
    conversation_uuid = _optional(Identifier, "conversation_id")


class CallEventSchema(Liberal):
    """Every other event. Human and machine events have `call_uuid` for `uuid`, Conversation API events have `cid`.

    https://developer.vonage.com/en/voice/voice-api/webhook-reference#event-webhook
    """

    conversation_uuid = _optional(Identifier)
    conversation_uuid_from = _optional(Identifier)
    conversation_uuid_to = _optional(Identifier)
    conversation_id = _optional(Identifier)
    cid = _optional(Identifier)
    uuid = _optional(Identifier)
    call_uuid = _optional(Identifier)
    from_ = _optional(PlainText, "from")
    to = _optional(PlainText)
    direction = _optional(PlainText)
    timestamp = _optional(Moment)
