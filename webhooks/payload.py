"""From the bytes of a request to a plain mapping: strict about JSON, liberal about everything else.

What the mapping means is decided in `shapes` and `answer`. Which text may be stored at all is decided here.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any, NoReturn
from urllib.parse import parse_qsl, quote

from recordings.errors import TapekeeperError

MAX_ID = 255  # characters

# Control characters and surrogates: not every database takes them, and none belongs into an id, a URL or a log line.
# Nor do Unicode's line ends and the marks that turn the direction of writing: they make a log line read as another one.
UNSTORABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
MAX_INTEGER = 30  # digits; no number of Vonage's is longer

_PRINTABLE_ASCII = "".join(map(chr, range(0x21, 0x7F)))

# When the method is GET, Vonage writes these objects as JSON text: seen in a live capture of 2020.
# https://github.com/Vonage/vonage-php-sdk-core/tree/main/test/Voice/requests
_NESTED_IN_QUERY = ("speech", "dtmf", "payload", "body", "headers", "custom_data")


class NotUnderstood(TapekeeperError):
    """A delivery that has no shape that Vonage sends. The message is fit for the reply and for the operator."""

    retryable = False


def storable(text: str, most: int) -> bool:
    """Whether every database and log takes this text: it has at most `most` characters, and no unstorable one."""
    return len(text) <= most and not UNSTORABLE.search(text)


def clean_query(raw: str) -> str:
    """The query string as text that every database takes: a character that is no printable ASCII becomes `%XX`.

    In `raw`, as WSGI hands it over, each character stands for one byte. It may hold any byte, because Vonage puts URLs
    into the query without encoding them.
    """
    if raw.isascii() and raw.isprintable() and " " not in raw:
        return raw
    return quote(raw.encode("latin-1", "replace"), safe=_PRINTABLE_ASCII)


def read_query(query: str) -> dict[str, str]:
    """The parameters of a query string, decoded. The last value of a repeated name counts, as in the payload hash.

    The string is split at `&`, and each part at its first `=`, so that `recording_url=https://…/download?id=…` without
    encoding stays whole.
    """
    return dict(parse_qsl(query, keep_blank_values=True))


def read_body(body: bytes) -> dict[str, Any]:
    """The JSON object in a body, whatever the content type says. Raises `NotUnderstood` for anything else."""
    try:
        value = _DECODER.decode(body.decode().removeprefix("\ufeff"))
    except UnicodeDecodeError:
        raise NotUnderstood("The body is not UTF-8 text.") from None
    except RecursionError:
        raise NotUnderstood("The body is JSON nested too deep to read.") from None
    except ValueError as error:
        raise NotUnderstood(f"The body is not JSON: {error}.") from None
    if not isinstance(value, dict):
        raise NotUnderstood("The body is JSON, but no object.")
    return value


def read_event(method: str, query: str, body: bytes) -> dict[str, Any]:
    """The fields of one delivery: the body of a POST, or the parameters of a GET with their nested objects decoded."""
    if method == "POST":
        return read_body(body)
    fields: dict[str, Any] = dict(read_query(query))
    if not fields:
        raise NotUnderstood("The request has no parameters.")
    unfold(fields, _NESTED_IN_QUERY)
    return fields


def unfold(fields: dict[str, Any], names: Iterable[str]) -> None:
    """Replace JSON text by its object in the fields of these names. Text that is no JSON object stays text."""
    for name in names:
        text = fields.get(name)
        if isinstance(text, str) and text.startswith("{"):
            try:
                fields[name] = _DECODER.decode(text)
            except (ValueError, RecursionError):
                continue


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """The object of these members. A name that stands twice, with different values, gets a list of two of them.

    No field that we read is a list: so a field without which an event is useless refuses the event, and any other field
    is left out. To believe one of the values would be a guess. https://www.rfc-editor.org/rfc/rfc8259#section-4
    """
    members = dict(pairs)
    if len(members) == len(pairs):
        return members
    first: dict[str, Any] = {}
    for name, value in pairs:
        if first.setdefault(name, value) != value:
            members[name] = [first[name], value]
    return members


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number")


def _integer(text: str) -> int | None:
    """The number, or None for one that is too long: Python refuses to read thousands of digits."""
    return int(text) if len(text) <= MAX_INTEGER else None


_DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_no_constant, parse_int=_integer)
