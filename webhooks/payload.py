"""From the bytes of a request to a plain mapping: strict about JSON, liberal about everything else.

What the mapping means is not decided here: see `shapes` and `answer`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, NoReturn
from urllib.parse import parse_qsl, quote

from recordings.errors import TapekeeperError

_PRINTABLE_ASCII = "".join(map(chr, range(0x21, 0x7F)))

# Vonage writes these objects as JSON text when the method is GET; seen in a live capture of 2020.
# https://github.com/Vonage/vonage-php-sdk-core/tree/main/test/Voice/requests
_NESTED_IN_QUERY = ("speech", "dtmf", "payload", "body", "headers", "custom_data")


class NotUnderstood(TapekeeperError):
    """A delivery that no sender of Vonage's shapes would make. The message is fit for the reply and the console."""

    retryable = False


def clean_query(raw: str) -> str:
    """The query string as text that any database takes: what is no printable ASCII becomes `%XX`.

    `raw` is WSGI's: each character stands for one byte. Servers hand on what they were sent, and Vonage puts URLs into
    queries unencoded.
    """
    if raw.isascii() and raw.isprintable() and " " not in raw:
        return raw
    return quote(raw.encode("latin-1", "replace"), safe=_PRINTABLE_ASCII)


def read_query(query: str) -> dict[str, str]:
    """The parameters of a query string, decoded; of a repeated one the last counts, here and in the payload hash.

    Split at `&`, then at the first `=`, so that an unencoded `recording_url=https://…/download?id=…` stays whole.
    """
    return dict(parse_qsl(query, keep_blank_values=True))


def read_body(body: bytes) -> dict[str, Any]:
    """The JSON object in a body, whatever its content type said. Raises `NotUnderstood` for anything else."""
    try:
        value = _DECODER.decode(body.decode().removeprefix("\ufeff"))
    except UnicodeDecodeError:
        raise NotUnderstood("The body is not UTF-8 text.") from None
    except RecursionError:
        raise NotUnderstood("The body is JSON nested too deep to read.") from None
    except ValueError as error:  # also integers of thousands of digits
        raise NotUnderstood(f"The body is not JSON: {error}.") from None
    if not isinstance(value, dict):
        raise NotUnderstood("The body is JSON, but no object.")
    return value


def read_event(method: str, query: str, body: bytes) -> dict[str, Any]:
    """The fields of one delivery: a POST's body, or a GET's parameters with nested objects unfolded."""
    if method == "POST":
        return read_body(body)
    fields: dict[str, Any] = dict(read_query(query))
    if not fields:
        raise NotUnderstood("The request has no parameters.")
    unfold(fields, _NESTED_IN_QUERY)
    return fields


def unfold(fields: dict[str, Any], names: Iterable[str]) -> None:
    """Replace JSON text by its object in the fields so named; text that is no JSON object stays text."""
    for name in names:
        text = fields.get(name)
        if isinstance(text, str) and text.startswith("{"):
            try:
                fields[name] = _DECODER.decode(text)
            except (ValueError, RecursionError):
                continue


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Two readers of a name given twice may read two different things, so it is not read at all."""
    made = dict(pairs)
    if len(made) != len(pairs):
        raise ValueError("a name stands twice in one object")
    return made


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number")


_DECODER = json.JSONDecoder(object_pairs_hook=_once, parse_constant=_no_constant)
