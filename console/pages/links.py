"""The links to a list of recordings: `?q=` holds the filter and the place in the list, encrypted and signed.

An address ends in browsers' histories and in the logs of proxies, so nobody may read a telephone number out of it.
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
_LONGEST = 8000  # characters of a link's `q`


@dataclass(frozen=True, slots=True)
class Place:
    """A page of a list: its filter, the cursor that it begins after, and how many recordings the pages before show."""

    filter: RecordingFilter = EVERYTHING
    cursor: str | None = None
    before: int = 0


class Links:
    """Makes and reads links to the list. `key` gives the secret that all processes share, once it is needed."""

    def __init__(self, key: Callable[[], bytes]) -> None:
        self._key = key

    @property
    def secret(self) -> bytes:
        """What signs the cursors of the list."""
        return self._key()

    def to(self, place: Place) -> str:
        """The address of this page of the list."""
        if place == Place():
            return url_for("pages.recordings")
        values = {"filter": filter_fields(place.filter), "cursor": place.cursor, "before": place.before}
        return url_for("pages.recordings", q=self._box().encrypt(json.dumps(values).encode()).decode())

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
            values: dict[str, Any] = json.loads(self._box().decrypt(query["q"][:_LONGEST].encode()))
            return Place(parse_filter(values["filter"]), values["cursor"], values["before"])
        except (InvalidToken, InvalidFilter, ValueError):
            raise InvalidInput(STALE) from None

    def _box(self) -> Fernet:
        return Fernet(base64.urlsafe_b64encode(hashlib.sha256(b"links " + self._key()).digest()))
