"""The fields of the API's schemas: what a program may give, and what it gets. A field is the same in every resource."""

from __future__ import annotations

import numbers
import re
from collections.abc import Mapping
from typing import Any

from marshmallow import Schema, ValidationError, fields, pre_load, validate

from recordings.access import MAX_NAME, Role
from recordings.clock import end_from, moment_from, utc_now
from recordings.errors import InvalidInput

MOST_ROWS = 500  # of one page
MAX_ID = 9223372036854775807  # as both databases can hold it


def row(name: str) -> str:
    """The part of a path that is the number of a row, which the operation gets under this name."""
    return f"<int(min=1, max={MAX_ID}):{name}>"


# --- What a program gives --------------------------------------------------------------------------------------------


class Whole(fields.Integer):
    """A whole number that a program gives. To JSON Schema 5.0 is one, too."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **more: Any) -> int:
        is_written_so = isinstance(value, str) and re.fullmatch(r"[0-9]{1,19}\.0+", value)
        return super()._deserialize(value.partition(".")[0] if is_written_so else value, attr, data, **more)


_TYPES: dict[type[fields.Field[Any]], tuple[type, ...]] = {
    fields.Boolean: (bool,),
    Whole: (int,),
    fields.Float: (numbers.Real,),
    fields.List: (list,),
}


class Body(Schema):
    """A JSON body. A value of another type than the document says is refused, also where it could be converted."""

    @pre_load
    def _check_types(self, data: Any, **_: Any) -> Any:
        given = data if isinstance(data, Mapping) else {}
        wrong = {name: [f"It must be {_type_name(field)}."] for name, field in self.fields.items() if name in given}
        wrong = {name: text for name, text in wrong.items() if not _fits(self.fields[name], given[name])}
        if wrong:
            raise ValidationError(wrong)
        return data


def _fits(field: fields.Field[Any], value: Any) -> bool:
    types = _TYPES.get(type(field), (str,))
    if types == (int,) and isinstance(value, float):
        return value.is_integer()  # to JSON 5.0 is a whole number
    return isinstance(value, types) and (not isinstance(value, bool) or types == (bool,))


def _type_name(field: fields.Field[Any]) -> str:
    return {fields.Boolean: "true or false", Whole: "a whole number", fields.List: "a list"}.get(
        type(field), "a number" if isinstance(field, fields.Float) else "a text"
    )


WHEN = "2026-11-22, 2026-11-22T12:30Z, or 30m, 12h, 7d for so long ago"
_DAY = r"(19[7-9]|20[0-9]|21[0-9])[0-9]-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])"
_CLOCK = r"([01][0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9](\.[0-9]{1,6})?)?(Z|[+-]([01][0-9]|2[0-3]):[0-5][0-9])?"
TIME = rf"^({_DAY}(T{_CLOCK})?|[0-9]{{1,5}}[mhd])$"


class Moment(fields.String):
    """A point in time, as the command line takes it. `is_end`: a date alone means the end of that day."""

    def __init__(self, about: str, *, is_end: bool = False) -> None:
        self._is_end = is_end
        super().__init__(metadata={"description": about, "examples": ["7d"], "pattern": TIME})

    def _deserialize(self, value: Any, attr: str | None, data: Any, **more: Any) -> Any:
        text = super()._deserialize(value, attr, data, **more) or ""
        if re.fullmatch(TIME, text) is None:
            raise ValidationError(f"Write {WHEN}.")
        try:
            return (end_from if self._is_end else moment_from)(text, utc_now())
        except ValueError as error:  # there is no 31st of February
            raise InvalidInput(f"{attr}: {error}") from None


def since(about: str = "came") -> Moment:
    """The parameter `since`."""
    return Moment(f"Only what {about} then or later: {WHEN}.")


def until(about: str = "came") -> Moment:
    """The parameter `until`."""
    return Moment(f"Only what {about} before then; a date alone means the end of that day.", is_end=True)


def limit() -> Whole:
    """The parameter `limit`."""
    return Whole(
        load_default=50, validate=validate.Range(1, MOST_ROWS), metadata={"description": "At most so many rows."}
    )


def row_cursor() -> Whole:
    """The parameter `cursor` of a list that goes by the numbers of its rows."""
    about = "The `next_cursor` of the page before; without it the list begins."
    return Whole(validate=validate.Range(1, MAX_ID), metadata={"description": about})


def short_text(about: str, *, most: int = 1000) -> fields.String:
    """A parameter with a short text: an id, an address, the name of a flow."""
    sentence = f"Write 1 to {most} characters, without control characters and without blanks around them."
    pattern = rf"^[^\x00-\x20\x7f]([^\x00-\x1f\x7f]{{0,{most - 2}}}[^\x00-\x20\x7f])?$"
    return fields.String(validate=validate.Regexp(pattern, error=sentence), metadata={"description": about})


def name(about: str, *, required: bool = False) -> fields.String:
    """A parameter with the name of a person or of a token."""
    pattern = validate.Regexp(
        rf"^[^\x00-\x20\x7f,:;]{{1,{MAX_NAME}}}$", error="Write a name, without spaces, commas and colons."
    )
    return fields.String(required=required, validate=pattern, metadata={"description": about})


def role(about: str, *, required: bool = False) -> fields.String:
    """A parameter that is a role."""
    roles = tuple(role.word for role in Role)
    allowed = validate.OneOf(roles, error=f"Use one of {', '.join(roles)}.")
    return fields.String(required=required, validate=allowed, metadata={"description": about})


def choice(about: str, *allowed: str) -> fields.String:
    """A parameter that takes one of these words."""
    sentence = f"Use one of {', '.join(allowed)}."
    return fields.String(validate=validate.OneOf(allowed, error=sentence), metadata={"description": about})


# --- What it gets ----------------------------------------------------------------------------------------------------


def text(about: str, *, none: bool = False, **more: Any) -> fields.String:
    """A text of an answer; `none`: or null."""
    return fields.String(required=True, allow_none=none, metadata={"description": about} | more)


def moment(about: str, *, none: bool = False) -> fields.String:
    """A time of an answer, in ISO 8601, UTC."""
    return text(about, none=none, format="date-time")


def whole(about: str, *, none: bool = False) -> fields.Integer:
    """A whole number of an answer."""
    return fields.Integer(required=True, allow_none=none, metadata={"description": about})


def number(about: str, *, none: bool = False) -> fields.Float:
    """A number of an answer."""
    return fields.Float(required=True, allow_none=none, metadata={"description": about})


def flag(about: str) -> fields.Boolean:
    """True or false, in an answer."""
    return fields.Boolean(required=True, metadata={"description": about})


def rows(schema: type[Schema]) -> fields.List[Any]:
    """A list of objects in an answer."""
    return fields.List(fields.Nested(schema), required=True)


class Error(Schema):
    """What every refusal and every failure looks like."""

    code = whole("The HTTP status.")
    status = text("Its name.")
    message = text("What was wrong, and what is right.")
    errors = fields.Dict(
        keys=fields.String(),
        values=fields.List(fields.String()),
        metadata={"description": "What is wrong with each parameter, where parameters are wrong."},
    )
