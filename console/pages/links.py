"""The addresses of lists: `?q=` holds what was searched for and the place in the list, encrypted and signed.

An address ends in browsers' histories and in the logs of proxies, so nobody may read a telephone number or a name out
of it.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from cryptography.fernet import Fernet, InvalidToken
from flask import url_for

from recordings.catalogue.search import InvalidFilter, RecordingFilter, filter_fields, parse_filter
from recordings.errors import InvalidInput

STALE = "This link is not whole, or another Tapekeeper made it. Open the list of recordings, and search again."
EVERYTHING = RecordingFilter()
_STALE = (
    "This link is not whole, or another Tapekeeper made it. Open the page from the top of any page, and search again."
)
_RECORDINGS = "pages.recordings"
_LONGEST = 8000  # characters of a link's `q`; longer addresses are not accepted everywhere
_OF_CURSOR = 1000  # of them: the pages that follow a search have longer links


@dataclass(frozen=True, slots=True)
class Place:
    """A page of a list: its filter, the cursor that it begins after, and how many recordings the pages before show."""

    filter: RecordingFilter = EVERYTHING
    cursor: str | None = None
    before: int = 0


class Links:
    """Makes and reads links to the lists. `key` gives the secret that all processes share, once it is needed."""

    def __init__(self, key: Callable[[], bytes]) -> None:
        self._key = key

    @property
    def secret(self) -> bytes:
        """What signs the cursors of the list of recordings."""
        return self._key()

    # --- Any list ----------------------------------------------------------------------------------------------------

    def sealed(self, endpoint: str, values: Mapping[str, Any], **address: Any) -> str:
        """The address of this endpoint with these values, which nobody can read; those that are None are left out.

        Raises `InvalidInput` where it would be too long.
        """
        given = {name: value for name, value in values.items() if value is not None}
        if not given:
            return url_for(endpoint, **address)
        document = json.dumps([endpoint, given], ensure_ascii=False).encode()
        text = self._box().encrypt(document).decode().rstrip("=")
        if len(text) > (_LONGEST if "cursor" in given else _LONGEST - _OF_CURSOR):
            raise InvalidInput("This is too long to be searched for: give fewer or shorter conditions.")
        return url_for(endpoint, **address, q=text)

    def opened(self, query: Mapping[str, str], endpoint: str) -> dict[str, Any]:
        """The values in an address that `sealed` made for this endpoint; none without a `q`. Raises `InvalidInput`."""
        if set(query) - {"q"}:
            raise InvalidInput("A search does not stand in an address here: use the form of the page.")
        if "q" not in query:
            return {}
        try:
            made_for, values = json.loads(self._box().decrypt(f"{query['q'][:_LONGEST]}===".encode()))
        except (InvalidToken, ValueError):
            raise InvalidInput(_STALE) from None
        if made_for != endpoint:
            raise InvalidInput(_STALE)
        return dict(values)

    # --- The list of recordings --------------------------------------------------------------------------------------

    def to(self, place: Place) -> str:
        """The address of this page of the list."""
        if place == Place():
            return url_for(_RECORDINGS)
        values = {"filter": filter_fields(place.filter), "cursor": place.cursor, "before": place.before}
        return self.sealed(_RECORDINGS, values)

    def to_filter(self, filter: RecordingFilter) -> str:
        """The address of the first page of the recordings that a filter chooses."""
        return self.to(Place(filter))

    def read(self, query: Mapping[str, str]) -> Place:
        """The page that an address with this query names; without a `q` the first page of everything.

        Raises `InvalidInput`, also for a filter that somebody has typed into the address.
        """
        if set(query) - {"q"}:
            raise InvalidInput("A filter does not stand in an address here: open the list of recordings, and search.")
        if "q" not in query:
            return Place()
        try:
            values = self.opened(query, _RECORDINGS)
            return Place(parse_filter(values["filter"]), values.get("cursor"), values["before"])
        except (InvalidInput, InvalidFilter):
            raise InvalidInput(STALE) from None

    def _box(self) -> Fernet:
        return Fernet(base64.urlsafe_b64encode(hashlib.sha256(b"links " + self._key()).digest()))
