"""The JSON beside each recording: what it is, whose call it was, and the digest to check it by.

It is written after the audio, through the backend's own `put`: where `<key>.json` is, the audio is whole. An archive
can be read without this program and without its database.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

from recordings.model import Recording
from recordings.storage import StorageBackend

from . import integrity
from .sources import BytesSource

SCHEMA = 1
SUFFIX = ".json"
_TYPE = "application/json"


def identity(recording: Recording) -> dict[str, str]:
    """The metadata that every stored object carries: identifiers and times, no phone numbers.

    Names are those that Azure allows (C# identifiers), values ASCII, all of it below S3's 2 KiB.
    https://learn.microsoft.com/en-us/rest/api/storageservices/naming-and-referencing-containers--blobs--and-metadata
    """
    words = {
        "recording_uuid": recording.recording_uuid,
        "conversation_uuid": recording.conversation_uuid,
        "application_id": recording.application_id,
    }
    return {name: _ascii(value) for name, value in words.items() if value}


def write(
    backend: StorageBackend, recording: Recording, storage: str, stored: integrity.Stored, now: datetime, version: str
) -> None:
    """Put the sidecar beside the stored audio. One that is there already stays: the first word stands."""
    source = BytesSource(_text(document(recording, storage, stored, now, version)).encode(), _TYPE)
    integrity.put(backend, stored.key + SUFFIX, source, content_type=_TYPE, metadata=identity(recording))


def document(
    recording: Recording, storage: str, stored: integrity.Stored, now: datetime, version: str
) -> dict[str, Any]:
    """The sidecar's content, as JSON will show it. Times are UTC, sizes bytes."""
    return {
        "schema": SCHEMA,
        "recording_uuid": recording.recording_uuid,
        "conversation_uuid": recording.conversation_uuid,
        "application_id": recording.application_id,
        "event": {
            "start_time": _time(recording.start_time),
            "end_time": _time(recording.end_time),
            "received_at": _time(recording.received_at),
            "announced_size": recording.size,
            "source_host": urlsplit(recording.recording_url).hostname,
            "origin": recording.origin,
        },
        "call": {
            "flow": recording.flow,
            "direction": recording.direction,
            "from": recording.from_,
            "to": recording.to,
        },
        "audio": {
            "key": stored.key,
            "size": stored.result.size,
            "sha256": stored.result.sha256,
            "format": stored.kind.format,
            "content_type": stored.kind.content_type,
            "channels": recording.channels,
        },
        "storage": storage,
        "stored_at": _time(now),
        "written_by": f"tapekeeper {version}".strip(),
    }


def _text(words: dict[str, Any]) -> str:
    """JSON with a line for each name: with `indent`, json would not use its encoder in C."""
    lines = (f"  {json.dumps(name)}: {json.dumps(value, ensure_ascii=False)}" for name, value in words.items())
    return "{\n" + ",\n".join(lines) + "\n}\n"


def _time(moment: datetime | None) -> str | None:
    return None if moment is None else moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _ascii(value: str) -> str:
    return value.encode("ascii", "backslashreplace").decode()
