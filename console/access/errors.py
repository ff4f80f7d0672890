"""What a person or a program sees when something is refused, missing or broken: a sentence that says what to do."""

from __future__ import annotations

import json
from typing import Any

from flask import Flask, g, render_template, request
from flask.typing import ResponseReturnValue
from flask_wtf.csrf import CSRFError
from werkzeug.exceptions import BadRequest, HTTPException, ServiceUnavailable

from recordings.errors import CatalogueUnavailable, InvalidInput

from .door import is_api, is_for_machines

_SENTENCES = {
    400: "The request could not be understood. Go back, load the page again, and repeat what you did.",
    404: "There is nothing at this address. It may have been removed, or the address may be incomplete.",
    405: "This address does not take that kind of request. Use the buttons of the page.",
    413: "That is too large. Send less than 1 MiB.",
    500: "Something went wrong on our side, and the log says what. Try it again; if it stays, tell whoever runs this.",
}
_STALE_FORM = (
    "This form is too old, or it was not sent from this site. Load the page again and repeat what you did; the browser "
    "must accept cookies. A program sends a token, or the header X-CSRFToken."
)


def register_error_pages(app: Flask) -> None:
    """Show the console's errors as pages, those of the API as JSON. Other routes' errors stay as they are."""
    app.register_error_handler(HTTPException, _show)
    app.register_error_handler(CatalogueUnavailable, _show_unavailable)
    app.register_error_handler(InvalidInput, _show_wrong_input)


def _show_unavailable(error: CatalogueUnavailable) -> ResponseReturnValue:
    if is_for_machines(request.path):
        raise error
    sentence = "The database cannot be reached just now. Try again in a minute; if it stays, check DATABASE_URL."
    return _show(ServiceUnavailable(sentence, retry_after=10))


def _show_wrong_input(error: InvalidInput) -> ResponseReturnValue:
    if is_for_machines(request.path):
        raise error
    return _show(BadRequest(str(error)))


def _show(error: HTTPException) -> ResponseReturnValue:
    if is_for_machines(request.path) or g.get("door_is_closed") or error.code is None or error.response is not None:
        return error
    response: Any = error.get_response(request.environ)
    sentence = _sentence(error)
    if is_api(request.path):
        response.data = json.dumps({"code": error.code, "status": error.name, "message": sentence})
        response.content_type = "application/json"
    else:
        response.data = render_template("access/error.html", name=error.name, sentence=sentence)
    return response  # type: ignore[no-any-return]


def _sentence(error: HTTPException) -> str:
    if isinstance(error, CSRFError):
        return _STALE_FORM
    own = error.description if error.description != type(error).description else None
    return own or _SENTENCES.get(error.code or 0) or error.description or error.name
