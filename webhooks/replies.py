"""The replies that are no NCCO: the empty 204, and one JSON shape for every error under /webhooks.

The status is chosen where the fault is found. No reply says why a signature failed, and none shows a secret, a token or
what the sender wrote.
"""

from __future__ import annotations

import json

from flask import Response
from werkzeug.exceptions import HTTPException

_PATHS_HINT = "The webhooks are /webhooks/answer, /fallback, /recordings, /events and /transcriptions."

# By status: code, message and hint for what Flask refuses by itself.
_KNOWN = {
    404: ("not_found", "There is no such webhook.", _PATHS_HINT),
    405: ("method_not_allowed", "A webhook takes GET and POST only.", "Set GET or POST in the application's settings."),
    413: ("body_too_large", "The body is larger than 1 MiB.", "No event of Vonage's is this large: check the sender."),
}


class Rejected(Exception):
    """A request that is not accepted: the status, and what the reply says."""

    def __init__(self, status: int, code: str, message: str, hint: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.hint = hint

    def response(self) -> Response:
        """The reply to this request."""
        reply = error(self.status, self.code, self.message, self.hint)
        if self.status == 401:
            reply.headers["WWW-Authenticate"] = "Bearer"
        return reply


def no_content() -> Response:
    """204, without a body: on an event URL that several services share, a body that looks like an NCCO could replace
    the call's flow.
    """
    reply = Response(status=204)
    del reply.headers["Content-Type"]
    return reply


def error(status: int, code: str, message: str, hint: str) -> Response:
    """The JSON object `{"error": {"code", "message", "hint"}}`, with this status."""
    body = json.dumps({"error": {"code": code, "message": message, "hint": hint}})
    return Response(body, status, mimetype="application/json")


def http_error(fault: HTTPException) -> Response:
    """The reply to a request that Flask or Werkzeug refused."""
    status = fault.code or 500
    default = ("bad_request", f"The request cannot be served: {fault.name}.", "Send it again, complete.")
    reply = error(status, *_KNOWN.get(status, default))
    if status == 405:
        reply.headers["Allow"] = "GET, POST"
    return reply
