"""What every operation of the API has: a role, parameters of which none is unknown, and one shape of errors.

The resources are in the files beside this one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from itertools import islice
from json import JSONDecodeError
from typing import Any, NoReturn

from flask import Request, Response, request
from flask_smorest import Blueprint
from flask_smorest.utils import deepupdate
from marshmallow import RAISE, Schema, ValidationError, fields
from webargs.core import missing
from webargs.flaskparser import FlaskParser, is_json_request
from werkzeug.exceptions import BadRequest, UnsupportedMediaType

from console.access import require
from recordings.access import Role

View = Callable[..., Any]

_MOST_ERRORS = 10  # of one reply, and sentences about one parameter
_LONGEST_NAME = 100  # characters of a parameter that there is not


class WrongParameters(BadRequest):
    """Parameters or a body that are not as the document says. `errors`: the sentences about the first of them."""

    def __init__(self, errors: Mapping[str, Sequence[str]]) -> None:
        some = islice(sorted(errors.items()), _MOST_ERRORS)  # a body may hold a hundred thousand wrong names
        self.errors = {_readable(name): list(dict.fromkeys(sentences))[:_MOST_ERRORS] for name, sentences in some}
        super().__init__(" ".join(f"{name}: {' '.join(sentences)}" for name, sentences in self.errors.items()))


def _readable(name: object) -> str:
    """The name as a reply can hold it: not very long, and without halves of characters, which JSON can name."""
    return str(name)[:_LONGEST_NAME].encode(errors="replace").decode()


class Parser(FlaskParser):
    """Reads parameters and bodies, and refuses what the schema does not know."""

    DEFAULT_VALIDATION_STATUS = 400
    DEFAULT_UNKNOWN_BY_LOCATION = FlaskParser.DEFAULT_UNKNOWN_BY_LOCATION | {"query": RAISE}

    def load_querystring(self, req: Request, schema: Schema) -> Any:
        several = {name for name, values in req.args.lists() if len(values) > 1}
        several -= {name for name, field in schema.fields.items() if isinstance(field, fields.List)}
        if several:
            raise WrongParameters(dict.fromkeys(several, ("Give it once.",)))
        return super().load_querystring(req, schema)

    def load_json(self, req: Request, schema: Schema) -> Any:
        if not is_json_request(req):
            raise UnsupportedMediaType("Send a JSON object, with the header Content-Type: application/json.")
        data = super().load_json(req, schema)
        if data is missing:
            raise BadRequest("Send a JSON object: the body is empty.")
        return data

    def _raw_load_json(self, req: Request) -> Any:
        try:
            return super()._raw_load_json(req)
        except RecursionError:
            raise BadRequest(
                "The body is nested too deeply: send a JSON object as the document describes it."
            ) from None
        except (JSONDecodeError, UnicodeDecodeError):  # the caller's to handle
            raise
        except ValueError:  # a whole number of thousands of digits
            raise BadRequest("A number of the body is too long: none has more than 19 digits.") from None

    def _handle_invalid_json_error(self, error: Any, req: Request, *args: Any, **more: Any) -> NoReturn:
        raise BadRequest("The body is no JSON: send a JSON object in UTF-8.")

    def handle_error(self, error: ValidationError, req: Request, schema: Schema, **_: Any) -> NoReturn:
        by_place: Any = error.messages
        errors = {name: texts for messages in by_place.values() for name, texts in messages.items()}
        raise WrongParameters({name: _sentences(texts, schema) for name, texts in errors.items()})


def _sentences(texts: Any, schema: Schema) -> list[str]:
    """The sentences about one parameter, also about the parts of a list."""
    if isinstance(texts, dict):
        return [sentence for part in texts.values() for sentence in _sentences(part, schema)]
    known = f"There is no such parameter: use {', '.join(schema.fields) or 'none'}."
    return [known if sentence == "Unknown field." else sentence for sentence in texts]


class Resource(Blueprint):  # type: ignore[misc]  # flask-smorest has no types
    """The operations on one kind of thing, below `/api`. The name is the heading in the document."""

    ARGUMENTS_PARSER = Parser()

    def __init__(self, name: str, about: str) -> None:
        super().__init__(name, __name__, url_prefix="/api", description=about)


def needs(role: Role) -> Callable[[View], View]:
    """Let those call an operation whose role includes this one, and say so in the document."""

    def decorate(view: View) -> View:
        parameters = getattr(view, "_apidoc", {}).get("arguments", {}).get("parameters", [])
        takes_query = any(parameter["in"] == "query" for parameter in parameters)

        @wraps(view)
        def checked(*args: Any, **options: Any) -> Any:
            if not takes_query:
                refuse_parameters()
            return view(*args, **options)

        operation_id = view.__name__
        return Resource.doc(operationId=operation_id, **{"x-role": role.word})(require(role)(checked))  # type: ignore[no-any-return]

    return decorate


def refuse_parameters() -> None:
    """Raises `WrongParameters` where the address of this request holds any."""
    if request.args:
        raise WrongParameters(dict.fromkeys(request.args, ("This operation takes no parameters.",)))


def with_etag(view: View) -> View:
    """Give the answer an ETag; a program that has it already gets a 304 without a body."""

    @wraps(view)
    def tagged(*args: Any, **options: Any) -> Response:
        response: Response = view(*args, **options)
        response.add_etag()
        response.make_conditional(request)
        return response

    tagged._apidoc = deepupdate(getattr(view, "_apidoc", {}), {"etag": True})  # type: ignore[attr-defined]
    return tagged
