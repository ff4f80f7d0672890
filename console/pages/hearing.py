"""`/recordings/<id>/audio`, `…/download` and `…/waveform`: the audio, for whoever may hear it, and its picture.

Who hears or downloads a recording is noted before the first byte: what cannot be noted is not played. The waveform
says how loud it is over time, and nothing of what is said: to look at it is not to listen.
"""

from __future__ import annotations

from http import HTTPStatus

from flask import Blueprint, Response, jsonify, render_template, request
from flask.typing import ResponseReturnValue

from console.access import require
from console.audio import download_response, peaks_json, recording_response
from console.lookups import recording_in, recording_to_hear, waveform_in
from recordings.access import Action, Role

from .parts import ROW, Parts


def add_routes(blueprint: Blueprint, parts: Parts) -> None:
    """The audio for the player of the page and as a file, and the waveform."""

    @blueprint.get(f"/recordings/{ROW}/audio")
    @require(Role.LISTENER)
    def audio(row_id: int) -> ResponseReturnValue:
        row = recording_to_hear(parts, row_id, Action.PLAY)
        return recording_response(row.recording, parts.storages, request)

    @blueprint.get(f"/recordings/{ROW}/download")
    @require(Role.LISTENER)
    def download(row_id: int) -> ResponseReturnValue:
        row = recording_to_hear(parts, row_id, Action.DOWNLOAD)
        return _as_page(download_response(row.recording, parts.storages, request))

    @blueprint.get(f"/recordings/{ROW}/waveform")
    @require(Role.LISTENER)
    def waveform(row_id: int) -> ResponseReturnValue:
        recording_in(parts, row_id)
        return jsonify(peaks_json(waveform_in(parts, row_id)))


def _as_page(response: Response) -> Response:
    """The reply; where it is a sentence that says why there is no audio, as a page."""
    if response.status_code < 400 or response.mimetype != "text/plain":
        return response
    sentence = response.get_data(as_text=True).strip()
    name = HTTPStatus(response.status_code).phrase
    response.set_data(render_template("access/error.html", name=name, sentence=sentence))
    response.mimetype = "text/html"
    return response
