"""The JSON file beside each recording: what the recording is, whose call it was, and the digest to check it by.

It is written after the audio, through the backend's own `put`: where `<key>.json` exists, the audio is whole. With
these files an archive can be read without this program and without its database, and the catalogue can be made anew;
how they are read is in `sidecar_reading`.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

from recordings.catalogue.leases import Claim
from recordings.clock import iso_utc, utc_now
from recordings.model import CallBehind, Recording
from recordings.storage import StorageBackend

from . import integrity
from .sources import BytesSource

# It grows when a name gets another meaning, or goes. A name that is added leaves it as it is: readers ignore the names
# that they do not know, and bear the absence of those that older sidecars lack.
SCHEMA = 1
SUFFIX = ".json"
_TYPE = "application/json"


def identity(recording: Recording) -> dict[str, str]:
    """The metadata that every stored object carries: identifiers, no phone numbers.

    Names are those that Azure allows (C# identifiers), values ASCII, all of it below S3's 2 KiB.
    https://learn.microsoft.com/en-us/rest/api/storageservices/naming-and-referencing-containers--blobs--and-metadata
    """
    identifiers = {
        "recording_uuid": recording.recording_uuid,
        "conversation_uuid": recording.conversation_uuid,
        "application_id": recording.application_id,
    }
    return {name: _ascii(value) for name, value in identifiers.items() if value}


@dataclass(frozen=True)
class SidecarWriter:
    """Writes sidecars, which name this program's `version` and the time by this clock."""

    version: str = ""
    clock: Callable[[], datetime] = utc_now

    def write(self, backend: StorageBackend, claim: Claim, stored: integrity.Stored) -> None:
        """Put the sidecar beside the stored audio. A sidecar that is there already stays as it is."""
        source = BytesSource(_text(self._document(claim, stored)).encode(), _TYPE)
        metadata = identity(claim.recording)
        integrity.put(backend, stored.key + SUFFIX, source, content_type=_TYPE, metadata=metadata)

    def _document(self, claim: Claim, stored: integrity.Stored) -> dict[str, Any]:
        """The sidecar's content, as JSON will show it. Times are UTC, sizes bytes."""
        recording = claim.recording
        return {
            "schema": SCHEMA,
            "recording_uuid": recording.recording_uuid,
            "conversation_uuid": recording.conversation_uuid,
            "application_id": recording.application_id,
            "event": _event(recording),
            "call": _call(recording),
            "audio": {
                "key": stored.key,
                "size": stored.result.size,
                "sha256": stored.result.sha256,
                "format": stored.kind.format,
                "content_type": stored.kind.content_type,
                "channels": recording.channels,
            },
            "storage": claim.storage,
            "other_storages": [copy.storage for copy in recording.copies if copy.storage != claim.storage],
            "stored_at": iso_utc(self.clock()),
            "written_by": f"tapekeeper {self.version}".strip(),
        }


def _event(recording: Recording) -> dict[str, Any]:
    return {
        "start_time": _time(recording.start_time),
        "end_time": _time(recording.end_time),
        "received_at": _time(recording.received_at),
        "announced_size": recording.size,
        "timestamp": _time(recording.timestamp),
        "recording_url": recording.recording_url,
        "source_host": urlsplit(recording.recording_url).hostname,
        "origin": recording.origin,
    }


def _call(recording: Recording) -> dict[str, Any]:
    call = recording.call or CallBehind("")
    return {
        "flow": recording.flow,
        "format": recording.format,  # that the call was to be recorded in
        "direction": recording.direction,
        "from": recording.from_,
        "to": recording.to,
        "region_url": recording.region_url,
        "conversation_uuid": call.conversation_uuid or None,
        "leg_uuid": call.leg_uuid,
        "answered_at": _time(call.answered_at),
        "completed_at": _time(call.completed_at),
    }


def _text(document: dict[str, Any]) -> str:
    """JSON with a line for each name: with `indent`, json would not use its encoder in C."""
    lines = (f"  {json.dumps(name)}: {json.dumps(value, ensure_ascii=False)}" for name, value in document.items())
    return "{\n" + ",\n".join(lines) + "\n}\n"


def _time(moment: datetime | None) -> str | None:
    return None if moment is None else iso_utc(moment)


def _ascii(value: str) -> str:
    return value.encode("ascii", "backslashreplace").decode()
