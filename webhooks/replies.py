"""How a refusal looks: one JSON shape for every error under /webhooks.

The statuses are chosen where the fault is found. Nothing here says why a signature failed, or shows a secret, a token
or what a sender wrote.
"""

from __future__ import annotations

import json

from flask import Response
from werkzeug.exceptions import HTTPException

_PATHS_HINT = "The webhooks are /webhooks/answer, /fallback, /recordings, /events and /transcriptions."

# code, message and hint for what Flask refuses by itself
_KNOWN = {
    404: ("not_found", "There is no such webhook.", _PATHS_HINT),
    405: ("method_not_allowed", "A webhook takes GET and POST only.", "Set GET or POST in the application's settings."),
    413: ("body_too_large", "The body is larger than 1 MiB.", "No event of Vonage's is this large: check the sender."),
}


class Refusal(Exception):
    """A request that is turned away: the status, and the three words of the reply."""

    def __init__(self, status: int, code: str, message: str, hint: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.hint = hint

    def response(self) -> Response:
        """The reply for it."""
        reply = error(self.status, self.code, self.message, self.hint)
        if self.status == 401:
            reply.headers["WWW-Authenticate"] = "Bearer"
        return reply


def error(status: int, code: str, message: str, hint: str) -> Response:
    """`{"error": {"code", "message", "hint"}}` with this status."""
    body = json.dumps({"error": {"code": code, "message": message, "hint": hint}})
    return Response(body, status, mimetype="application/json")


def http_error(fault: HTTPException) -> Response:
    """What Flask or Werkzeug refused, in our shape; its headers (`Allow`) stay."""
    status = fault.code or 500
    other = ("bad_request", f"The request cannot be served: {fault.name}.", "Send it again, complete.")
    reply = error(status, *_KNOWN.get(status, other))
    if status == 405:
        reply.headers["Allow"] = "GET, POST"
    return reply
