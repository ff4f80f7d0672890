"""Vonage's door: what we answer and what we accept. No storage, no SQL and no settings here.

The reply policy follows from what each status makes Vonage do:

* **204**: the event is committed, also when it was known before. Vonage never sends it again.
* **200** with an NCCO: the answer webhook and its fallback, whatever is broken.
* **400**: signed, but not understandable. Final. The raw delivery is kept, and
  `flask deliveries list` shows it.
* **401**: bad signature. Final, also where unsigned requests are allowed.
* **413**: a body over 1 MiB. **404** and **405**: no such webhook. Final.
* **503**: no signature where one is required, or the event cannot be committed. Vonage sends it once more, which it
  does only for 429, 503, 504 and time-outs: so a fault of our own is 503, too, and never 500.

Never a redirect, and never a body with 204. https://api.support.vonage.com/hc/en-us/articles/115016024247
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable

from flask import Blueprint, current_app, request
from flask.typing import ResponseReturnValue as Reply
from werkzeug.exceptions import HTTPException, MethodNotAllowed, NotFound

from . import answer, events, replies
from .context import Intake, WebhookContext
from .flows import FlowSettings
from .signature import Verifier

__all__ = ["FlowSettings", "Intake", "Verifier", "WebhookContext", "create_blueprint"]

log = logging.getLogger(__name__)

_ROUTES = ("recordings", "events", "transcriptions")
_METHODS = ("GET", "POST")
_EVERY_METHOD = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT")
_ANSWERS = ("webhooks.answer_call", "webhooks.fallback")
_SLASHES = re.compile("/{2,}")


def create_blueprint(context: WebhookContext) -> Blueprint:
    """The webhooks as a blueprint under `/webhooks`, which work with this context."""
    blueprint = Blueprint("webhooks", __name__, url_prefix="/webhooks")
    _add_answers(blueprint, context)
    reception = events.Reception(context)
    for route in _ROUTES:
        _add_events(blueprint, reception, route)
    _add_errors(blueprint, context)
    blueprint.before_app_request(_serve_in_place_of_redirect)
    return blueprint


def _serve_in_place_of_redirect() -> None:
    """Route `/webhooks//recordings` as `/webhooks/recordings`. Werkzeug would redirect, which Vonage does not follow.

    https://werkzeug.palletsprojects.com/en/stable/routing/#werkzeug.routing.Map
    """
    path = _SLASHES.sub("/", request.path)
    if path != request.path and path.startswith("/webhooks"):
        adapter = current_app.create_url_adapter(request)
        if adapter is not None:
            request.url_rule, values = adapter.match(path, return_rule=True)
            request.view_args, request.routing_exception = dict(values), None


def _add_answers(blueprint: Blueprint, context: WebhookContext) -> None:
    def answer_call(flow: str | None = None) -> Reply:
        return answer.reply(context, request, flow)

    def fallback() -> Reply:
        return answer.reply_fallback(context, request)

    for path, view in (("/answer", answer_call), ("/answer/<flow>", answer_call), ("/fallback", fallback)):
        _add(blueprint, path, view.__name__, view)


def _add_events(blueprint: Blueprint, reception: events.Reception, route: str) -> None:
    def receive() -> Reply:
        return reception.receive(request, route)

    _add(blueprint, f"/{route}", route, receive)


def _add(blueprint: Blueprint, path: str, endpoint: str, view: Callable[..., Reply]) -> None:
    # A URL that ends in a slash too many in the dashboard must not lose an event: it has the same view, no redirect.
    blueprint.add_url_rule(
        path, endpoint, view, methods=_METHODS, strict_slashes=False, provide_automatic_options=False
    )


def _add_errors(blueprint: Blueprint, context: WebhookContext) -> None:
    """Errors as JSON. A blueprint's error handlers see only what its rules match: so `nowhere` matches all the rest."""

    def nowhere(path: str = "") -> Reply:
        known = path.strip("/").partition("/")[0] in (*_ROUTES, "answer", "fallback")
        raise MethodNotAllowed(_METHODS) if known and request.method not in (*_METHODS, "HEAD") else NotFound()

    def broken(error: Exception) -> Reply:
        log.exception("%s %s failed; this is a fault of ours", request.method, request.path, exc_info=error)
        if request.endpoint in _ANSWERS:
            return answer.emergency(context)
        return replies.error(503, "internal", "The request failed here.", "Send it again; the reason is in the log.")

    for path in ("", "/", "/<path:path>"):
        blueprint.add_url_rule(path, "nowhere", nowhere, methods=_EVERY_METHOD, provide_automatic_options=False)
    blueprint.register_error_handler(replies.Rejected, replies.Rejected.response)
    blueprint.register_error_handler(HTTPException, replies.http_error)
    blueprint.register_error_handler(Exception, broken)
