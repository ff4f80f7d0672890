"""The shapes of what Vonage sends, as marshmallow schemas: liberal in what they take, exact in what they give.

Each loads into the keyword arguments of a value in `recordings.model`. Which schema fits a payload is decided in
`shapes`. Unknown fields are left out: Vonage adds some from time to time.

Ids are never checked against RFC 4122: live leg ids have no dashes, and the guides' own samples are malformed.
https://developer.vonage.com/en/voice/voice-api/webhook-reference
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from marshmallow import EXCLUDE, Schema, ValidationError, fields

log = logging.getLogger(__name__)

MAX_ID = 255
MAX_URL = 2048
MAX_WORDS = 1024
MAX_SIZE = 2**63 - 1  # what a database's big integer holds

# No database takes all of these, and none of them belongs into an id, a URL or a line of the log.
_UNSTORABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")

# A time outside was not meant; dates near the calendar's ends break arithmetic with deadlines.
_PLAUSIBLE = (datetime(2000, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC))


def storable(text: str, most: int) -> bool:
    """True for text that every database and log takes: at most `most` characters, no controls, no surrogates."""
    return len(text) <= most and not _UNSTORABLE.search(text)


def read_time(value: object) -> datetime | None:
    """A moment in UTC, or None where none can be read: a strange time must not cost a recording.

    With or without milliseconds, `T` or a space, a zone or none (then UTC): Vonage's own samples differ in all of it.
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


class Identifier(fields.Field[str]):
    """Text of 1 to 255 characters without control characters. Where it is not required, empty is the same as absent."""

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **_: Any) -> Any:
        if not isinstance(value, str):
            raise ValidationError("This id is no text.")
        if not value.strip():
            if self.required:
                raise ValidationError("This id is empty.")
            return None
        if not storable(value, MAX_ID):
            raise ValidationError(f"This id has control characters, or more than {MAX_ID} characters.")
        return value


class Size(fields.Field[int]):
    """A number of bytes, or its digits as text, as a GET delivers it. Empty text is the same as absent."""

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **_: Any) -> Any:
        if value == "":
            return None
        if isinstance(value, str) and len(value) <= 20 and value.isascii() and value.isdecimal():
            value = int(value)
        if type(value) is not int or not 0 <= value <= MAX_SIZE:
            raise ValidationError("This is no number of bytes.")
        return value


class Moment(fields.Field[datetime]):
    """A time that may be missing or unreadable: then None, with a line in the log."""

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **_: Any) -> Any:
        moment = read_time(value)
        if moment is None and value != "":
            shown = value[:40] if isinstance(value, str) else type(value).__name__
            log.warning("%s cannot be read as a time and is left out: %r", attr, shown)
        return moment


class AudioUrl(fields.Field[str]):
    """Where the audio is, or was not made: empty text announces an empty recording, and so does `null`.

    https://github.com/Vonage/vonage-node-sdk/issues/132
    """

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **_: Any) -> Any:
        if not isinstance(value, str):
            raise ValidationError("This URL is no text.")
        if not storable(value, MAX_URL):
            raise ValidationError(f"This URL has control characters, or more than {MAX_URL} characters.")
        return value.strip()


class Words(fields.Field[str]):
    """Text that is good to know and never worth a refusal: what is no plain text of a sane length gives None."""

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **_: Any) -> Any:
        if type(value) is int:
            return str(value) if abs(value) <= MAX_SIZE else None
        return value if isinstance(value, str) and value and storable(value, MAX_WORDS) else None


class Failure(fields.Field[str]):
    """Why a transcription failed: text, or an object that is kept as JSON text."""

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **_: Any) -> Any:
        try:
            text = value if isinstance(value, str) else json.dumps(value)
        except RecursionError:
            return "(nested too deep to keep; see the raw delivery)"
        return _UNSTORABLE.sub(" ", text)[:MAX_WORDS].strip() or None


def _optional(kind: type[fields.Field[Any]], data_key: str | None = None) -> Any:
    return kind(load_default=None, allow_none=True, data_key=data_key)


class Liberal(Schema):
    """The base of all: fields that we do not know are left out."""

    class Meta:
        unknown = EXCLUDE


class RecordingSchema(Liberal):
    """The recording webhook. https://developer.vonage.com/en/voice/voice-api/webhook-reference#record"""

    recording_uuid = Identifier(required=True)
    conversation_uuid = Identifier(required=True)
    recording_url = AudioUrl(required=True, allow_none=True)
    size = _optional(Size)
    start_time = _optional(Moment)
    end_time = _optional(Moment)
    timestamp = _optional(Moment)


class RtcRecordingSchema(RecordingSchema):
    """`audio:record:done`, flattened: the recordings of the Conversation API carry other names for the same things.

    https://developer.vonage.com/en/conversation/concepts/event
    """

    recording_uuid = Identifier(required=True, data_key="recording_id")
    conversation_uuid = Identifier(required=True, data_key="conversation_id")
    recording_url = AudioUrl(required=True, allow_none=True, data_key="destination_url")
    format = _optional(Words)


class TranscriptionSchema(Liberal):
    """The transcription webhook: no time in it, no URL when it failed.

    https://developer.vonage.com/en/voice/voice-api/webhook-reference#transcription
    """

    recording_uuid = Identifier(required=True)
    conversation_uuid = _optional(Identifier)
    status = _optional(Words)
    url = _optional(AudioUrl, "transcription_url")
    error = _optional(Failure)


class RtcTranscriptionSchema(TranscriptionSchema):
    """`audio:transcribe:done`, flattened."""

    recording_uuid = Identifier(required=True, data_key="recording_id")
    conversation_uuid = _optional(Identifier, "conversation_id")


class CallEventSchema(Liberal):
    """Every other event. `call_uuid` stands for `uuid` in human and machine events; Conversation API events have `cid`.

    https://developer.vonage.com/en/voice/voice-api/webhook-reference#event-webhook
    """

    conversation_uuid = _optional(Identifier)
    conversation_uuid_from = _optional(Identifier)
    conversation_uuid_to = _optional(Identifier)
    conversation_id = _optional(Identifier)
    cid = _optional(Identifier)
    uuid = _optional(Identifier)
    call_uuid = _optional(Identifier)
    from_ = _optional(Words, "from")
    to = _optional(Words)
    direction = _optional(Words)
    timestamp = _optional(Moment)
