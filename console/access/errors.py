"""What a person or a program sees when something is refused, missing or broken: a sentence that says what to do."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from flask import Flask, Response, g, render_template, request
from flask.typing import ResponseReturnValue
from flask_wtf.csrf import CSRFError
from werkzeug.exceptions import BadRequest, HTTPException, ServiceUnavailable, UnprocessableEntity

from recordings.errors import CatalogueUnavailable, InvalidInput

from .door import is_api, is_for_machines

_SENTENCES = {
    400: "The request could not be understood. Go back, load the page again, and repeat what you did.",
    404: "There is nothing at this address. It may have been removed, or the address may be incomplete.",
    405: "This address does not take that kind of request. Use the buttons of the page.",
    413: "That is too large. Send less than 1 MiB.",
    500: "Something went wrong on our side, and the log says what. Try it again; if it stays, tell whoever runs this.",
}
_FOR_PROGRAMS = {
    400: "The request could not be understood. /api/openapi.json says how it is made.",
    404: "There is nothing at this address. /api/openapi.json lists what there is.",
    405: "This address does not take that method. The header Allow names those that it takes.",
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
    # A program's values may be as the document says and still be wrong, such as the end of a range before its start.
    return _show((UnprocessableEntity if is_api(request.path) else BadRequest)(str(error)))


def _show(error: HTTPException) -> ResponseReturnValue:
    if is_for_machines(request.path) or g.get("door_is_closed") or error.code is None or error.response is not None:
        return error
    response: Any = error.get_response(request.environ)
    sentence = _sentence(error)
    if is_api(request.path):
        fill_json(response, error.name, sentence, getattr(error, "errors", None))
    else:
        response.data = render_template("access/error.html", name=error.name, sentence=sentence)
    return response  # type: ignore[no-any-return]


def fill_json(response: Response, name: str, sentence: str, errors: Mapping[str, Sequence[str]] | None = None) -> None:
    """Give a reply of the API the one shape that its errors have. `errors`: the sentences about each parameter."""
    payload: dict[str, Any] = {"code": response.status_code, "status": name, "message": sentence}
    response.set_data(json.dumps(payload | ({"errors": errors} if errors else {})))
    response.content_type = "application/json"


def _sentence(error: HTTPException) -> str:
    if isinstance(error, CSRFError):
        return _STALE_FORM
    own = error.description if error.description != type(error).description else None
    sentences = _SENTENCES | (_FOR_PROGRAMS if is_api(request.path) else {})
    return own or sentences.get(error.code or 0) or error.description or error.name
