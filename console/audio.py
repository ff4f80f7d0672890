"""Audio through us: to a player in short replies, to a download in a long one, of which only a few run at once.

A player asks for ranges, and gets 1 MiB a reply at the most: so no number of listeners holds all threads of a web
process, on which Vonage's events wait. Which listener may hear what is decided before this is called.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from typing import Any

from flask import Request, Response

from recordings.archive import formats, integrity
from recordings.model import Copy, Recording, State, Waveform
from recordings.storage import StorageBackend
from recordings.timeouts import NoAnswer

from .bodies import MOST_BYTES, AudioLimits, LongBody, TooManyLongReplies, read_whole
from .ranges import Part, Unsatisfiable, requested_part

log = logging.getLogger(__name__)

_LOUDEST = 127
_OURS = {kind.content_type for kind in formats.BY_FORMAT.values()}
_GONE = (
    "The audio is not in the storage any more. Look for another copy in: flask recordings show, "
    "or repair this one: flask recordings verify --repair"
)
_FAILED = "The storage could not give the audio. Try again in a minute; flask doctor says what is wrong with a storage."
_SLOW = "The storage did not answer in time. Try again in a minute; flask doctor says what is wrong with a storage."
_CROWDED = "Too many downloads run at this moment. Try again in some seconds."


_LIMITS = AudioLimits()


def recording_response(
    recording: Recording,
    storages: Mapping[str, StorageBackend],
    request: Request,
    *,
    file_name: str | None = None,
    limits: AudioLimits = _LIMITS,
) -> Response:
    """The audio of a recording, from the first of its copies that a store gives; else the reply of the last one."""
    response = _sentence(404, "There is no stored copy of this recording in a configured storage.")
    for copy in recording.copies:
        if copy.state is State.STORED and copy.storage in storages:
            response = audio_response(storages[copy.storage], copy, request, file_name=file_name, limits=limits)
            if response.status_code not in (404, 502, 504):
                return response
    return response


def download_response(recording: Recording, storages: Mapping[str, StorageBackend], request: Request) -> Response:
    """The audio of a recording as a file, under a name that says what is in it."""
    copies = [copy for copy in recording.copies if copy.state is State.STORED]
    name = download_name(recording, copies[0]) if copies else None
    return recording_response(recording, storages, request, file_name=name)


def audio_response(
    backend: StorageBackend,
    copy: Copy,
    request: Request,
    *,
    file_name: str | None = None,
    limits: AudioLimits = _LIMITS,
) -> Response:
    """The audio of a stored copy, or the range that a GET or HEAD request asks for.

    Without `file_name` it is for a player, and a range is cut to 1 MiB. With it the reply is a download under that
    name, and a range is whole. 404: the object is gone; 416: no such range; 502, 504: the store failed, or hangs; 503:
    too many long replies run. Each comes with a sentence that says what to do.
    """
    if copy.key is None or copy.size is None or copy.state is not State.STORED:
        return _sentence(404, "This copy is not stored yet.")
    headers = _headers(copy, file_name)
    if copy.sha256 and request.if_none_match.contains_weak(copy.sha256):
        return Response(status=304, headers=headers)
    try:
        part = requested_part(request.headers.get("Range", ""), copy.size) if _fresh(request, copy) else None
    except Unsatisfiable:
        refusal = _sentence(416, f"The range begins behind the end: the audio has {copy.size} bytes.")
        refusal.headers["Content-Range"] = f"bytes */{copy.size}"
        return refusal
    if part is None:
        return _answer(backend, copy, request, Part(0, copy.size, copy.size), headers, limits)
    if file_name is None:
        part = part.cut(MOST_BYTES)
    response = _answer(backend, copy, request, part, headers | {"Content-Range": part.content_range}, limits)
    response.status_code = 206 if response.status_code == 200 else response.status_code
    return response


def download_name(recording: Recording, copy: Copy) -> str:
    """A name that says what is in the file: when, from, to, and the beginning of the recording's id."""
    moment = recording.start_time or recording.received_at
    legs = [f"{word}-{number}" for word, number in (("from", recording.from_), ("to", recording.to)) if number]
    parts = [f"{moment:%Y-%m-%d_%H%M%SZ}", *legs, recording.recording_uuid[:8]]
    ext = next((kind.ext for kind in formats.BY_FORMAT.values() if kind.content_type == copy.content_type), "bin")
    return re.sub(r"[^A-Za-z0-9_+.-]", "", "_".join(parts)) + f".{ext}"


def peaks_json(waveform: Waveform) -> dict[str, Any]:
    """What a page draws: `duration` in seconds, and for each channel its peaks, each from 0 to 1."""
    values = [round(value / _LOUDEST, 2) for value in waveform.peaks]
    count = waveform.points
    return {
        "duration": round(waveform.seconds, 3),
        "channels": waveform.channels,
        "sample_rate": waveform.sample_rate,
        "peaks": [values[channel * count : (channel + 1) * count] for channel in range(waveform.channels)],
    }


# --- Headers ----------------------------------------------------------------------------------------------------------


def _headers(copy: Copy, file_name: str | None) -> dict[str, str]:
    headers = {
        # Of the bytes, as the archive saw them: a store may call everything application/octet-stream.
        "Content-Type": copy.content_type if copy.content_type in _OURS else formats.UNKNOWN.content_type,
        "Accept-Ranges": "bytes",
        "Cache-Control": "private, no-store",
        "X-Content-Type-Options": "nosniff",
    }
    if copy.sha256:
        headers["ETag"] = f'"{copy.sha256}"'
    if file_name is not None:
        headers["Content-Disposition"] = f'attachment; filename="{_quotable(file_name)}"'
    return headers


def _quotable(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9_+. -]", "_", name)


def _fresh(request: Request, copy: Copy) -> bool:
    """Whether the range may be served: If-Range names the object that the client has begun to read, or is not there.

    It must be the strong ETag. A date is never ours: we send none.
    """
    header = request.headers.get("If-Range")
    return header is None or (copy.sha256 is not None and header.strip() == f'"{copy.sha256}"')


# --- The answer -------------------------------------------------------------------------------------------------------


def _answer(
    backend: StorageBackend, copy: Copy, request: Request, part: Part, headers: Mapping[str, str], limits: AudioLimits
) -> Response:
    """The part with these headers, as 200, or a reply that says in a sentence why there is none."""
    try:
        response = _reply(backend, copy.key or "", part, limits, body=request.method != "HEAD")
    except NoAnswer as error:
        log.warning("A storage did not give audio: %s.", error)
        return _sentence(504, _SLOW, retry_after=30)
    except TooManyLongReplies:
        return _sentence(503, _CROWDED, retry_after=10)
    except Exception as error:  # whatever a stranger's backend raises
        if integrity.is_missing(error):
            return _sentence(404, _GONE)
        log.warning("A storage did not give audio: %s", str(error) or type(error).__name__)
        return _sentence(502, _FAILED, retry_after=30)
    response.headers.update(headers)
    response.content_length = part.length
    return response


def _reply(backend: StorageBackend, key: str, part: Part, limits: AudioLimits, *, body: bool) -> Response:
    if not body:
        if limits.store.call(lambda: integrity.head(backend, key)) is None:
            raise FileNotFoundError(key)
        return Response()
    if part.length <= MOST_BYTES:
        return Response(limits.store.call(lambda: read_whole(backend, key, part)))
    return Response(LongBody(backend, key, part, limits), direct_passthrough=True)


def _sentence(status: int, text: str, *, retry_after: int | None = None) -> Response:
    response = Response(f"{text}\n", status, mimetype="text/plain")
    response.headers["Cache-Control"] = "no-store"
    if retry_after is not None:
        response.headers["Retry-After"] = str(retry_after)
    return response
