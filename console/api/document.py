"""The API's document: OpenAPI 3.1 at `/api/openapi.json`, and Swagger UI, which shows it, at `/api/docs`.

flask-smorest makes the document from the decorators of the operations. It does not handle errors here: it would take
over those of Vonage's door, too. They have their one shape in `console.access.errors`.
"""

from __future__ import annotations

from typing import Any

from apispec.ext.marshmallow import MarshmallowPlugin
from flask import Blueprint, Flask, Response, jsonify, render_template, request
from flask_smorest import Api
from marshmallow import Schema

from console.access import require
from recordings.access import Role

from .fields import Error
from .operations import refuse_parameters, with_etag

_ABOUT = (
    "Everything that the console shows and does. A program sends `Authorization: Bearer tk_…` with a token that "
    "`flask tokens add` made; a script of a page that somebody signed in to sends the session's cookie and, unless it "
    "only reads, the header `X-CSRFToken`. Each operation says in `x-role` which role it needs: viewer, listener, "
    "operator, admin, each with everything of those before it.\n\n"
    "A request that is not as this document says is answered with 400, one whose values cannot be used with 422; while "
    "the database is away the answer is 503. Telephone numbers and names of people are sent in bodies, never in "
    "addresses, because addresses end in logs."
)
_SCHEMES = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "A token of `flask tokens add`."},
    "cookie": {"type": "apiKey", "in": "cookie", "name": "tapekeeper", "description": "The session of the pages."},
}


class Document(Api):  # type: ignore[misc]  # flask-smorest has no types
    """Collects what the operations say of themselves."""

    ERROR_SCHEMA = Error

    def __init__(self, app: Flask, *, version: str) -> None:
        super().__init__()
        self.init_app(
            app,
            spec_kwargs={
                "title": "Tapekeeper",
                "version": version,
                "openapi_version": "3.1.0",
                "marshmallow_plugin": MarshmallowPlugin(schema_name_resolver=_schema_name),
                "info": {"description": _ABOUT},
                "security": [{"bearer": []}, {"cookie": []}],
                "components": {"securitySchemes": _SCHEMES},
            },
        )
        app.cli.commands.pop("openapi", None)  # flask-smorest's commands: ours are a closed list

    def _register_error_handlers(self) -> None:
        """None: see the docstring of this module."""

    def _register_pagination_header(self) -> None:
        """None: lists go by cursors, in their bodies."""


def create_blueprint(document: Document) -> Blueprint:
    """The two routes, for whoever is signed in."""
    blueprint = Blueprint("api_document", __name__, url_prefix="/api", template_folder="../templates")

    @blueprint.get("/openapi.json")
    @with_etag
    @require(Role.VIEWER)
    def openapi() -> Response:
        refuse_parameters()
        return jsonify(as_object(document) | {"servers": [{"url": request.script_root or "/"}]})

    @blueprint.get("/docs")
    @require(Role.VIEWER)
    def docs() -> str:
        return render_template("api/docs.html")

    return blueprint


def as_object(document: Document) -> dict[str, Any]:
    """The document as it is served, without the address of its server."""
    whole: dict[str, Any] = document.spec.to_dict()
    return whole


def _schema_name(schema: type[Schema] | Schema | str) -> str:
    cls: Any = schema if isinstance(schema, type) else type(schema)
    return str(schema if isinstance(schema, str) else cls.__name__).removesuffix("Answer")
