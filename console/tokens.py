"""Which token opens `/metrics`, and lets `/readyz` say what is wrong: one of API_TOKENS, or one of the catalogue.

A request with `Authorization: Bearer <token>` may see what is closed to others. As what the holder of a token comes to
the pages and to the API is decided in `console.access`.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Sequence

from recordings.catalogue.people import People
from recordings.errors import CatalogueUnavailable
from recordings.timeouts import Deadline, NoAnswer, TimeLimit, reading_until

_SECONDS = 1.0  # for a question to the catalogue
_REST = 5.0


class MonitorTokens:
    """The tokens that a monitor may show, whatever their role. `people` gives the catalogue's, once they are needed.

    While the catalogue hangs it is asked every few seconds at most: few threads answer monitors.
    """

    def __init__(self, api_tokens: Sequence[str], people: Callable[[], People]) -> None:
        self._api_tokens = api_tokens
        self._people = people
        self._limit = TimeLimit(_SECONDS, rest=_REST)

    def admit(self, header: str) -> bool:
        """Whether this Authorization header holds one of the tokens. Raises `CatalogueUnavailable`."""
        if holds_token(header, self._api_tokens):
            return True
        scheme, _, text = header.strip().partition(" ")
        return scheme.lower() == "bearer" and self._ask(lambda: self._people().tokens.find(text.strip()) is not None)

    def exist(self) -> bool:
        """Whether there is a token at all. Raises `CatalogueUnavailable`."""
        return bool(self._api_tokens) or self._ask(lambda: self._people().tokens.any())

    def _ask(self, question: Callable[[], bool]) -> bool:
        def ask() -> bool:
            with reading_until(Deadline(2 * _SECONDS)):  # nobody waits for it any more
                return question()

        try:
            return self._limit.call(ask, name="monitor-tokens")
        except NoAnswer:
            raise CatalogueUnavailable("The catalogue of the tokens does not answer.") from None


def holds_token(header: str, tokens: Sequence[str]) -> bool:
    """Whether the header holds one of the tokens. All are compared, so that the time spent reveals nothing."""
    scheme, _, given = header.strip().partition(" ")
    same = [hmac.compare_digest(given.strip().encode(), token.encode()) for token in tokens]
    return scheme.lower() == "bearer" and any(same)
