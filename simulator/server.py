"""The host of the files: audio for a valid application token, a Vonage-like refusal for anything else.

Here lives the Flask application. It runs embedded (`vonage.PretendVonage`) and, for load, in a process of its own::

    SIMULATOR_APPLICATION_ID=... SIMULATOR_PUBLIC_KEY=... gunicorn --worker-class gthread --threads 16 \
        "simulator.server:from_environment()"

Both paths that recordings were ever announced under are served: https://developer.vonage.com/en/voice/voice-api/guides/recording
"""

from __future__ import annotations

import os
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

from flask import Flask, Response, request

from . import media
from .misbehaviour import Situation, misbehave, problem, whole
from .shelf import ServedFile, Shelf
from .signing import Clock, refusal


@dataclass(frozen=True)
class FileHost:
    """Decides what each request for a file gets."""

    application_id: str
    public_key_pem: str | bytes = field(repr=False)
    shelf: Shelf
    stranger_origin: str
    closing: threading.Event
    clock: Clock

    def serve(self, file_id: str) -> Response:
        """The token first: a refused request spends no misbehaviour and does not learn whether the file exists."""
        authorization = request.headers.get("Authorization", "")
        reason = refusal(authorization, self.public_key_pem, self.application_id, self.clock())
        file = self.shelf.find(file_id)
        if file is not None:
            file.note(authorization, refused=reason is not None)
        if reason is not None:
            return problem(401)
        return problem(404) if file is None else self._reply(file)

    def _reply(self, file: ServedFile) -> Response:
        if (fault := file.next_fault()) is not None:
            value = fault.partition(":")[2]
            return misbehave(fault, Situation(file, value, request.environ, self.stranger_origin, self.closing))
        file.note_served()
        return whole(file)


def create_app(
    application_id: str,
    public_key_pem: str | bytes,
    *,
    shelf: Shelf | None = None,
    stranger_origin: str = "",
    closing: threading.Event | None = None,
    clock: Clock = time.time,
) -> Flask:
    """The file host of one application's recordings.

    `shelf` holds the files; `stranger_origin` is where `redirect-stranger` points; `closing`, once set, ends every
    reply that waits on purpose.
    """
    offered = shelf if shelf is not None else Shelf()
    host = FileHost(application_id, public_key_pem, offered, stranger_origin, closing or threading.Event(), clock)
    app = Flask("simulator.server", static_folder=None)
    app.add_url_rule("/v1/files/<file_id>", "file_by_path", host.serve)
    app.add_url_rule("/media/download", "file_by_query", lambda: host.serve(request.args.get("id", "")))
    media.add_routes(app, offered, lambda header: refusal(header, public_key_pem, application_id, clock()))
    app.register_error_handler(404, lambda _: problem(404))
    return app


def from_environment() -> Flask:
    """For gunicorn: `SIMULATOR_APPLICATION_ID`, `SIMULATOR_PUBLIC_KEY` (PEM, or the path of one).

    Nothing can be added to a server in another process, so it serves ids that describe themselves:
    `sized-<bytes>-<anything>`.
    """
    key = os.environ["SIMULATOR_PUBLIC_KEY"]
    pem = key if key.lstrip().startswith("-----") else Path(key).read_text()
    return create_app(os.environ["SIMULATOR_APPLICATION_ID"], pem, shelf=Shelf(sized_ids=True))
