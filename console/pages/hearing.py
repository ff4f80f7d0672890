"""`/recordings/<id>/audio`, `…/download` and `…/waveform`: the audio, for whoever may hear it, and its picture.

Who hears or downloads a recording is noted before the first byte: what cannot be noted is not played. The waveform
says how loud it is over time, and nothing of what is said: to look at it is not to listen.
"""

from __future__ import annotations

from http import HTTPStatus

from flask import Blueprint, Response, abort, jsonify, render_template, request
from flask.typing import ResponseReturnValue

from console.access import current_actor, require
from console.audio import download_name, peaks_json, recording_response
from recordings.access import Action, Role
from recordings.catalogue.search import Found
from recordings.catalogue.waveforms import measured
from recordings.model import State

from .parts import ROW, Parts, recording_in


def add_routes(blueprint: Blueprint, parts: Parts) -> None:
    """The audio for the player of the page and as a file, and the waveform."""

    @blueprint.get(f"/recordings/{ROW}/audio")
    @require(Role.LISTENER)
    def audio(row_id: int) -> ResponseReturnValue:
        found = _noted(parts, row_id, Action.PLAY)
        return recording_response(found.recording, parts.storages, request)

    @blueprint.get(f"/recordings/{ROW}/download")
    @require(Role.LISTENER)
    def download(row_id: int) -> ResponseReturnValue:
        found = _noted(parts, row_id, Action.DOWNLOAD)
        copies = [copy for copy in found.recording.copies if copy.state is State.STORED]
        name = download_name(found.recording, copies[0]) if copies else None
        return _as_page(recording_response(found.recording, parts.storages, request, file_name=name))

    @blueprint.get(f"/recordings/{ROW}/waveform")
    @require(Role.LISTENER)
    def waveform(row_id: int) -> ResponseReturnValue:
        recording_in(parts, row_id)
        found = measured(parts.database, row_id).waveform
        if found is None:
            abort(404, "There is no waveform of this recording, or none yet: a worker makes it after archiving.")
        return jsonify(peaks_json(found))


def _noted(parts: Parts, row_id: int, action: Action) -> Found:
    found = recording_in(parts, row_id)
    if request.method != "HEAD":  # which brings no audio
        parts.people.audit.note(current_actor(), action, recording_id=row_id)
    return found


def _as_page(response: Response) -> Response:
    """The reply; where it is a sentence that says why there is no audio, as a page."""
    if response.status_code < 400 or response.mimetype != "text/plain":
        return response
    sentence = response.get_data(as_text=True).strip()
    name = HTTPStatus(response.status_code).phrase
    response.set_data(render_template("access/error.html", name=name, sentence=sentence))
    response.mimetype = "text/html"
    return response
