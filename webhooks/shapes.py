"""Which events a payload holds: it is recognised by its shape, and becomes the values that the catalogue takes.

By default Vonage sends everything to the application's event URL, so every shape may come to every route. Pure: a
mapping in, events out; no Flask, no catalogue.
https://developer.vonage.com/en/voice/voice-api/webhook-reference
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any
from urllib.parse import parse_qs, urlsplit

from marshmallow import Schema, ValidationError

from recordings.model import Announcement, CallEvent, Event, Transcription

from .payload import MAX_ID, NotUnderstood, storable
from .schemas import (
    CallEventSchema,
    RecordingSchema,
    RtcRecordingSchema,
    RtcTranscriptionSchema,
    TranscriptionSchema,
)

log = logging.getLogger(__name__)

Payload = Mapping[str, Any]
_NOTHING: Mapping[str, Any] = MappingProxyType({})
MAX_KIND = 64

_RECORDING = RecordingSchema()
_RTC_RECORDING = RtcRecordingSchema()
_TRANSCRIPTION = TranscriptionSchema()
_RTC_TRANSCRIPTION = RtcTranscriptionSchema()
_CALL_EVENT = CallEventSchema()

_TRANSCRIBED = ("transcribed", "transcription_failed")
_RTC_FORMATS = {"mp3": "mp3", "wav": "wav", "ogg": "ogg", "vorbis": "ogg"}

# The conversations that an event may name, in the order in which they are kept. A transfer names two.
_CONVERSATIONS = ("conversation_uuid", "conversation_uuid_from", "conversation_uuid_to", "conversation_id", "cid")


def understand(payload: Payload, route: str, from_our_url: Mapping[str, Any] = _NOTHING) -> tuple[Event, ...]:
    """The events in one payload. `route` is `recordings`, `events` or `transcriptions`.

    The route matters only for a payload of no known shape: on `events` it is a call event of the kind `unknown`, on the
    other routes it is a mistake. `from_our_url` is what our own eventUrl says of a recording: `flow`, `format`,
    `channels`. Raises `NotUnderstood`, with every fault in the message.
    """
    complete = "recording_url" in payload and "recording_uuid" in payload  # a recording, whatever its type says
    match payload.get("type"):
        case "audio:record:done" if not complete:
            return (_rtc_recording(payload),)
        case "audio:transcribe:done" if not complete:
            return (_rtc_transcription(payload),)
    if _recording_shaped(payload):
        return (_recording(payload, from_our_url),)
    if "transcription_url" in payload or payload.get("status") in _TRANSCRIBED:
        return (_transcription(_load(_TRANSCRIPTION, payload)),)
    kind = _kind(payload)
    if kind == "unknown" and route == "recordings":
        return (_recording(payload, from_our_url),)  # raises, and names the fields that a recording needs
    if kind == "unknown" and route == "transcriptions":
        return (_transcription(_load(_TRANSCRIPTION, payload)),)
    return (_call_event(payload, kind), *_spoken(payload))


def _recording_shaped(payload: Payload) -> bool:
    """Whether this is a recording. It is checked before `status`, which some real recording payloads have, too.

    A URL without an id is a broken recording: it must not be taken for a call event and be forgotten.
    """
    return "recording_url" in payload and ("recording_uuid" in payload or bool(payload["recording_url"]))


def _recording(payload: Payload, from_our_url: Mapping[str, Any]) -> Announcement:
    return _announcement(_load(_RECORDING, payload), from_our_url)


def _announcement(values: dict[str, Any], more: Mapping[str, Any]) -> Announcement:
    values["recording_url"] = values["recording_url"] or ""
    if not values["conversation_uuid"]:
        log.warning("Recording %s is announced without a conversation.", values["recording_uuid"])
        values["conversation_uuid"] = ""
    return Announcement(**values, **more)


def _rtc_recording(payload: Payload) -> Announcement:
    """A recording of the Conversation API: its id, URL and times are in `body`, under other names."""
    values = _load(_RTC_RECORDING, _flattened(payload))
    audio_format = values["format"]
    values["format"] = _RTC_FORMATS.get(audio_format or "")
    if audio_format and not values["format"]:
        log.warning("format is none that is known and is left out: %a", audio_format[:40])
    return _announcement(values, {"origin": "rtc"})


def _flattened(payload: Payload) -> Payload:
    body = payload.get("body")
    if not isinstance(body, Mapping):
        raise NotUnderstood("body: it is missing, or no object.")
    # Vonage uses both names for the conversation.
    ids = [payload[name] for name in ("conversation_id", "cid") if payload.get(name)]
    conversation = next((id_ for id_ in ids if isinstance(id_, str)), ids[0] if ids else None)
    return {**body, "conversation_id": conversation, "timestamp": payload.get("timestamp")}


def _rtc_transcription(payload: Payload) -> Transcription:
    values = _load(_RTC_TRANSCRIPTION, _flattened(payload))
    values["status"] = "transcribed" if values["url"] else "transcription_failed"  # this event has no status
    return _transcription(values)


def _transcription(values: dict[str, Any]) -> Transcription:
    if not values["url"] and not values["status"]:
        raise NotUnderstood("transcription_url: it is missing, and no status tells why.")
    values["url"] = values["url"] or None
    values["status"] = values["status"] or "transcribed"
    return Transcription(**values)


def _kind(payload: Payload) -> str:
    """The kind of a call event. An event may have the marks of several kinds: Vonage's own .NET SDK gives the order.

    https://github.com/Vonage/vonage-dotnet-sdk/blob/main/Vonage/Voice/EventWebhooks/EventBase.cs
    """
    status = payload.get("status")
    if isinstance(status, str) and status.strip() and storable(status, MAX_KIND):
        return status
    if isinstance(payload.get("type"), list):
        raise NotUnderstood("type: it stands twice, so it does not tell what this event is.")
    if payload.get("type") == "transfer" or "conversation_uuid_from" in payload:
        return "transfer"
    if "speech" in payload or "dtmf" in payload:
        return "input"
    if "payload" in payload:
        return "notify"
    return "error" if "reason" in payload else "unknown"


def _call_event(payload: Payload, kind: str) -> CallEvent:
    values = _load(_CALL_EVENT, payload)
    conversations = tuple(dict.fromkeys(values[name] for name in _CONVERSATIONS if values[name]))
    leg = values["uuid"] or values["call_uuid"]
    if not conversations and not leg:
        raise NotUnderstood("The payload is no event: it names no recording, no conversation and no call.")
    return CallEvent(kind, conversations, leg, values["from_"], values["to"], values["direction"], values["timestamp"])


def _spoken(payload: Payload) -> tuple[Announcement, ...]:
    """The audio of an `input` action with `saveAudio`: a recording that has no id but that of its file.

    https://developer.vonage.com/en/voice/voice-api/ncco-reference#speech-recognition-settings
    """
    speech = payload.get("speech")
    if isinstance(speech, list):
        raise NotUnderstood("speech: it stands twice, so it does not tell which audio is meant.")
    url = speech.get("recording_url") if isinstance(speech, Mapping) else None
    if not url:
        return ()
    if not isinstance(url, str):
        raise NotUnderstood("speech.recording_url: This URL is no text, or it stands twice.")
    recording_uuid = file_id(url)
    if not recording_uuid:
        log.warning("speech.recording_url has no file id in it: the event is noted, there is nothing to archive")
        return ()
    fields: dict[str, Any] = {"recording_uuid": recording_uuid, "recording_url": url}
    fields |= {name: payload.get(name) for name in ("conversation_uuid", "timestamp")}
    return (_announcement(_load(_RECORDING, fields), {"origin": "asr"}),)


def file_id(url: str) -> str:
    """The id of the file behind a recording URL: the query's `id`, else the path's last segment; `""` without either.

    The path is `/v1/files/<id>` today, and was `/media/download?id=<id>` until about 2018.
    https://developer.vonage.com/en/voice/voice-api/guides/recording
    """
    try:
        parts = urlsplit(url)
    except ValueError:
        return ""
    id_ = parse_qs(parts.query).get("id", [""])[0] or parts.path.rstrip("/").rpartition("/")[2]
    return id_ if storable(id_, MAX_ID) else ""


def _load(schema: Schema, payload: Payload) -> dict[str, Any]:
    try:
        loaded: dict[str, Any] = schema.load(payload)
    except ValidationError as error:
        faults = sorted(f"{name}: {' '.join(texts)}" for name, texts in error.messages_dict.items())
        raise NotUnderstood(" ".join(faults)) from None
    return loaded
