"""The JSON API below `/api`: what the pages show and do, for programs.

An operation translates: it reads parameters, asks the heart, and answers with plain values. Who may call it is decided
in `console.access`, what becomes of a recording in `recordings`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from flask import Flask

from console.exports import Exports
from console.parts import Parts
from recordings.care.readiness import Readiness
from recordings.timeouts import Deadline, reading_until

from . import accounts, activity, audio, calls, deliveries, document, recordings, storages, tokens
from . import exports as exporting
from .document import Document

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

__all__ = ["register"]

_READ_LIMIT = "API_READ_SECONDS"  # in the app's configuration
_READ_SECONDS = 0.9  # for all that one request reads: a list is there within a second, or it is a 503


def register(
    app: Flask, parts: Parts, readiness: Callable[[], Readiness], exports: Exports, *, version: str
) -> Document:
    """Add the operations, their document and its page. Parts and readiness are made at their first use."""
    app.config.setdefault(_READ_LIMIT, _READ_SECONDS)
    api = Document(app, version=version)
    for resource in (
        recordings.create_resource(parts),
        audio.create_resource(parts),
        exporting.create_resource(parts, exports),
        calls.create_resource(parts),
        deliveries.create_resource(parts),
        storages.create_resource(parts, readiness),
        activity.create_resource(parts),
        accounts.create_resource(parts),
        tokens.create_resource(parts),
    ):
        api.register_blueprint(resource)
    app.register_blueprint(document.create_blueprint(api))
    setattr(app, "wsgi_app", _limited(app, app.wsgi_app))  # noqa: B010 - mypy takes no assignment
    return api


def _limited(app: Flask, application: WSGIApplication) -> WSGIApplication:
    """The application, in which all that a request to the API reads has one deadline. What it writes has its own."""

    def call(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if not environ.get("PATH_INFO", "").startswith("/api/"):
            return application(environ, start_response)
        with reading_until(Deadline(app.config[_READ_LIMIT])):
            return application(environ, start_response)

    return call
