"""What is this payload? Recognition by shape, whatever the route, and the values that the catalogue takes.

By default everything shares the application's event URL, so any shape may come to any route. Pure: a mapping in, events
out; no Flask, no catalogue.
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

from .payload import NotUnderstood
from .schemas import (
    MAX_ID,
    CallEventSchema,
    RecordingSchema,
    RtcRecordingSchema,
    RtcTranscriptionSchema,
    TranscriptionSchema,
    storable,
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


def understand(payload: Payload, route: str, told: Mapping[str, Any] = _NOTHING) -> tuple[Event, ...]:
    """The events in one payload. `route` is `recordings`, `events` or `transcriptions`.

    The route matters only for what has no shape: on `events` it is a call event of the kind `unknown`, elsewhere a
    mistake. `told` holds what our own eventUrl said of a recording: `flow`, `format`, `channels`.
    Raises `NotUnderstood`, with every fault in the message.
    """
    match payload.get("type"):
        case "audio:record:done":
            return (_rtc_recording(payload),)
        case "audio:transcribe:done":
            return (_rtc_transcription(payload),)
    if _recording_shaped(payload):
        return (_recording(payload, told),)
    if "transcription_url" in payload or payload.get("status") in _TRANSCRIBED:
        return (_transcription(_load(_TRANSCRIPTION, payload)),)
    kind = _kind(payload)
    if kind == "unknown" and route == "recordings":
        return (_recording(payload, told),)  # raises: it names what this lacks to be a recording
    if kind == "unknown" and route == "transcriptions":
        return (_transcription(_load(_TRANSCRIPTION, payload)),)
    return (_call_event(payload, kind), *_spoken(payload))


def _recording_shaped(payload: Payload) -> bool:
    """Asked before `status`, which some recording payloads in the wild carry.

    A URL without the id is a recording too, a broken one: it must not pass as some call event and be forgotten.
    """
    return "recording_url" in payload and ("recording_uuid" in payload or bool(payload["recording_url"]))


def _recording(payload: Payload, told: Mapping[str, Any]) -> Announcement:
    return _announcement(_load(_RECORDING, payload), told)


def _announcement(words: dict[str, Any], told: Mapping[str, Any]) -> Announcement:
    words["recording_url"] = words["recording_url"] or ""
    return Announcement(**words, **told)


def _rtc_recording(payload: Payload) -> Announcement:
    """A recording of the Conversation API: its id, URL and times are in `body`, under other names."""
    words = _load(_RTC_RECORDING, _flattened(payload))
    words["format"] = _RTC_FORMATS.get(words["format"] or "")
    return _announcement(words, {"origin": "rtc"})


def _flattened(payload: Payload) -> Payload:
    body = payload.get("body")
    if not isinstance(body, Mapping):
        raise NotUnderstood("body: it is missing, or no object.")
    # Both spellings are in use for the conversation.
    conversation = {"conversation_id": payload.get("conversation_id") or payload.get("cid")}
    return {**body, **conversation, "timestamp": payload.get("timestamp")}


def _rtc_transcription(payload: Payload) -> Transcription:
    words = _load(_RTC_TRANSCRIPTION, _flattened(payload))
    words["status"] = "transcribed" if words["url"] else "transcription_failed"  # the event itself has none
    return _transcription(words)


def _transcription(words: dict[str, Any]) -> Transcription:
    if not words["url"] and not words["status"]:
        raise NotUnderstood("transcription_url: it is missing, and no status tells why.")
    words["url"] = words["url"] or None
    words["status"] = words["status"] or "transcribed"
    return Transcription(**words)


def _kind(payload: Payload) -> str:
    """The order is that of Vonage's own .NET SDK: several marks may stand in one event.

    https://github.com/Vonage/vonage-dotnet-sdk/blob/main/Vonage/Voice/EventWebhooks/EventBase.cs
    """
    status = payload.get("status")
    if isinstance(status, str) and status.strip() and storable(status, MAX_KIND):
        return status
    if payload.get("type") == "transfer" or "conversation_uuid_from" in payload:
        return "transfer"
    if "speech" in payload or "dtmf" in payload:
        return "input"
    if "payload" in payload:
        return "notify"
    return "error" if "reason" in payload else "unknown"


def _call_event(payload: Payload, kind: str) -> CallEvent:
    words = _load(_CALL_EVENT, payload)
    conversations = tuple(dict.fromkeys(words[name] for name in _CONVERSATIONS if words[name]))
    leg = words["uuid"] or words["call_uuid"]
    if not conversations and not leg:
        raise NotUnderstood("The payload is no event: it names no recording, no conversation and no call.")
    return CallEvent(kind, conversations, leg, words["from_"], words["to"], words["direction"], words["timestamp"])


def _spoken(payload: Payload) -> tuple[Announcement, ...]:
    """The audio that an `input` action with `saveAudio` left: a recording without an id but the file's own.

    https://developer.vonage.com/en/voice/voice-api/ncco-reference#speech-recognition-settings
    """
    speech = payload.get("speech")
    url = speech.get("recording_url") if isinstance(speech, Mapping) else None
    if not url:
        return ()
    if not isinstance(url, str):
        raise NotUnderstood("speech.recording_url: This URL is no text.")
    found = file_id(url)
    if not found:
        log.warning("speech.recording_url has no file id in it: the event is noted, there is nothing to archive")
        return ()
    words: dict[str, Any] = {"recording_uuid": found, "recording_url": url}
    words |= {name: payload.get(name) for name in ("conversation_uuid", "timestamp")}
    return (_announcement(_load(_RECORDING, words), {"origin": "asr"}),)


def file_id(url: str) -> str:
    """The id of the file behind a recording URL, `""` when there is none: `id=` of the query, else the last segment.

    `/v1/files/<id>` today, `/media/download?id=<id>` until about 2018.
    https://developer.vonage.com/en/voice/voice-api/guides/recording
    """
    try:
        parts = urlsplit(url)
    except ValueError:
        return ""
    named = parse_qs(parts.query).get("id", [""])[0]
    found = named or parts.path.rstrip("/").rpartition("/")[2]
    return found if storable(found, MAX_ID) else ""


def _load(schema: Schema, payload: Payload) -> dict[str, Any]:
    try:
        loaded: dict[str, Any] = schema.load(payload)
    except ValidationError as error:
        faults = sorted(f"{name}: {' '.join(texts)}" for name, texts in error.messages_dict.items())
        raise NotUnderstood(" ".join(faults)) from None
    return loaded
