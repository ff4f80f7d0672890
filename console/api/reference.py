"""The table of the operations in `docs/api.md`, made from the API's own document: `python -m console.api.reference`.

A test compares the file with what this makes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from flask import Flask

from console.exports import Exports

from . import register
from .document import as_object
from .filters import Conditions, NumberConditions

FILE = Path(__file__).resolve().parent.parent.parent / "docs" / "api.md"

_BEFORE = """# The JSON API

<!-- Made by: make api-docs -->

What the console shows, for programs, and what is done with one recording, delivery, account or token. It is there once
somebody may come in (see [Who may come in](console.md#who-may-come-in)); else every address below `/api` is a 404. The
document is at `/api/openapi.json` (OpenAPI 3.1), and `/api/docs` shows it and lets whoever is signed in try it.
Orders for all of a kind at once, and what is done with calls without a recording and with conflicts, are for people:
they are on the page [Attention](console.md#the-pages).

```sh
TOKEN=$(flask tokens add reports --role listener)        # it is printed this once
curl --fail -H "Authorization: Bearer $TOKEN" "$PUBLIC_URL/api/recordings?state=failed&since=7d"
curl --fail -H "Authorization: Bearer $TOKEN" --json '{"number": "0001", "number_match": "suffix"}' \\
  "$PUBLIC_URL/api/recordings/search"
```

- **Who**: a token as above, or the session's cookie of somebody who has signed in; with the cookie every request that
  changes something needs the header `X-CSRFToken`. The role beside each operation includes what those before it may:
  viewer, listener, operator, admin.
- **Addresses hold no telephone number and no name**, because addresses end in logs: both are searched for by POST.
- **Lists** are pages, newest first: hand `next_cursor` back as `cursor`, with the same filter, until it is null.
- **Errors** have one shape: `{"code": 400, "status": "Bad Request", "message": "…", "errors": {"limit": ["…"]}}`.
  400: the request is not as the document says, or a parameter is unknown; 401: no token, or a wrong one; 403: the role
  is too low; 404: there is no such thing; 409: it cannot be done now; 415: no JSON; 422: the values are of the right
  kind and cannot be used; 503: the database is away, or too many run at once: try again after `Retry-After` seconds.
- **ETags**: a request with `If-None-Match` is answered 304 while nothing has changed, where *ETag* stands below.
- **Audio** comes in ranges. A range of `…/audio` is cut to 1 MiB: ask on behind its end. Each time that somebody hears,
  downloads or exports is noted in the audit before the first byte.

"""
_HEAD = "| operation | role | what | parameters |\n|---|---|---|---|\n"


def markdown(document: Mapping[str, Any]) -> str:
    """The whole file."""
    sections: dict[str, list[str]] = {}
    for path, operations in document["paths"].items():
        for method in ("get", "post", "patch", "delete"):
            if method in operations:
                operation = operations[method]
                sections.setdefault(operation["tags"][0], []).append(_row(document, method, path, operation))
    abouts = {tag["name"]: tag["description"] for tag in document["tags"]}
    parts = [f"## {name}\n\n{abouts[name]}\n\n{_HEAD}{''.join(rows)}" for name, rows in sections.items()]
    return _BEFORE + _filter(document) + "\n".join(parts)


def _filter(document: Mapping[str, Any]) -> str:
    """The conditions by which recordings are chosen, which several operations take."""
    properties = document["components"]["schemas"]["NumberConditions"]["properties"]
    rows = [f"| `{name}` | {schema['description']} |\n" for name, schema in properties.items()]
    return f"## The filter\n\nRecordings that meet every condition are chosen.\n\n| | |\n|---|---|\n{''.join(rows)}\n"


def _row(document: Mapping[str, Any], method: str, path: str, operation: Mapping[str, Any]) -> str:
    tagged = " (ETag)" if "304" in operation["responses"] else ""
    address = re.sub(r"\{\w+\}", "{id}", path)
    parameters = _parameters(list(_names(document, operation)))
    return f"| `{method.upper()} {address}` | {operation['x-role']} | {operation['summary']}{tagged} | {parameters} |\n"


def _parameters(names: list[str]) -> str:
    """The names; those of the filter, where the operation takes it, as one word."""
    has_filter = set(Conditions._declared_fields) <= set(names)
    others = [f"`{name}`" for name in names if not has_filter or name not in NumberConditions._declared_fields]
    whole = "the filter" if "number" in names else "the filter without a number"
    return ", ".join([whole, *others] if has_filter else others)


def _names(document: Mapping[str, Any], operation: Mapping[str, Any]) -> Iterator[str]:
    for parameter in operation.get("parameters", []):
        if parameter.get("in") in ("query", "header"):
            yield parameter["name"]
    for content in operation.get("requestBody", {}).get("content", {}).values():
        yield from document["components"]["schemas"][content["schema"]["$ref"].rpartition("/")[2]]["properties"]


def current() -> str:
    """The file as it should be now."""
    parts: Any = None  # nothing is asked: only what the operations say of themselves is read
    return markdown(as_object(register(Flask("tapekeeper"), parts, lambda: parts, Exports(), version="")))


if __name__ == "__main__":
    FILE.write_text(current())
