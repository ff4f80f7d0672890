"""`/api/recordings/<id>/audio` and `/download`: the audio, for whoever may hear it, in ranges or whole; and `/peaks`.

Who hears or downloads a recording is noted before the first byte. How much a reply holds, and how many long ones run at
once, is bounded in `console.audio`. Peaks say how loud it is over time, and nothing of what is said: whoever reads
them does not listen, and is not noted.
"""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from flask import Response, request
from marshmallow import Schema, fields

from console.access import fill_json
from console.audio import download_response, peaks_json, recording_response
from console.lookups import recording_in, recording_to_hear, waveform_in
from console.parts import Parts
from recordings.access import Action, Role

from .fields import number, row, whole
from .operations import Resource, View, needs, with_etag

_TYPES = ("audio/mpeg", "audio/wav", "audio/ogg", "application/octet-stream")
_RANGE: dict[str, Any] = {
    "in": "header",
    "name": "Range",
    "description": "One range of bytes. Its answer may be shorter than asked for: ask on behind its end.",
    "schema": {"type": "string"},
    "example": "bytes=0-1048575",
}
_BYTES = {"type": "string", "contentMediaType": "application/octet-stream"}

_ROW = row("recording_id")


def _documented(view: View) -> View:
    content = {kind: {"schema": _BYTES} for kind in _TYPES}
    answers = {
        "200": {"description": "All of it.", "content": content},
        "206": {"description": "The range, or its beginning.", "content": content},
        "304": {"description": "It is the audio whose ETag If-None-Match names."},
    }
    return Resource.doc(responses=answers, parameters=[_RANGE, "IF_NONE_MATCH"])(view)  # type: ignore[no-any-return]


class PeaksAnswer(Schema):
    """How loud the audio is over time, as the pages draw it."""

    duration = number("Seconds.")
    channels = whole("Of the audio.")
    sample_rate = whole("Of the audio, in Hz.")
    peaks = fields.List(
        fields.List(fields.Float()),
        required=True,
        metadata={"description": "For each channel its peaks, in equal steps over the duration, each from 0 to 1."},
    )


def create_resource(parts: Parts) -> Resource:
    """The operations."""
    resource = Resource("Audio", "Hear a recording, which is noted in the audit each time, or see how loud it is.")

    @resource.route(f"/recordings/{_ROW}/audio")
    @needs(Role.LISTENER)
    @_documented
    def get_audio(recording_id: int) -> Response:
        """The audio, for a player: a range is cut to 1 MiB"""
        recording_row = recording_to_hear(parts, recording_id, Action.PLAY)
        return _as_answer(recording_response(recording_row.recording, parts.storages, request))

    @resource.route(f"/recordings/{_ROW}/download")
    @needs(Role.LISTENER)
    @_documented
    def download_audio(recording_id: int) -> Response:
        """The audio as a file, with a name that says what is in it"""
        recording_row = recording_to_hear(parts, recording_id, Action.DOWNLOAD)
        return _as_answer(download_response(recording_row.recording, parts.storages, request))

    @resource.route(f"/recordings/{_ROW}/peaks")
    @with_etag
    @needs(Role.LISTENER)
    @resource.response(200, PeaksAnswer)
    def get_peaks(recording_id: int) -> Mapping[str, Any]:
        """The peaks of its waveform; 404 until a worker has made them"""
        recording_in(parts, recording_id)
        return peaks_json(waveform_in(parts, recording_id))

    return resource


def _as_answer(response: Response) -> Response:
    """The reply; where it is a sentence that says why there is no audio, in the shape of the API's errors."""
    if response.status_code >= 400:
        fill_json(response, HTTPStatus(response.status_code).phrase, response.get_data(as_text=True).strip())
    return response
