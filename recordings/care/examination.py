"""The last thorough look at the whole deployment, taken in a thread beside the requests, one at a time.

What is looked at is given: here it is only run. What it found is kept in the catalogue, so that each web process shows
the same.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Protocol

from recordings.catalogue import examinations
from recordings.catalogue.examinations import Examinations, Result
from recordings.errors import CatalogueUnavailable

log = logging.getLogger(__name__)


class Finding(Protocol):
    """What was found about one part: `level` is `ok`, `warning` or `error`; `mend` says what to do."""

    @property
    def level(self) -> str: ...
    @property
    def part(self) -> str: ...
    @property
    def message(self) -> str: ...
    @property
    def mend(self) -> str | None: ...


class Examination:
    """`examine` looks at everything and may take long; `by_settings` looks at what the settings alone tell, at once.

    Raises `CatalogueUnavailable` as the database does.
    """

    def __init__(
        self,
        examine: Callable[[], Iterable[Finding]],
        by_settings: Callable[[], Iterable[Finding]],
        looks: Examinations,
    ) -> None:
        self._examine = examine
        self._by_settings = by_settings
        self._looks = looks

    @property
    def last(self) -> Result | None:
        """What the last look found, whichever process took it; None: nobody has taken one yet."""
        return self._looks.last()

    @property
    def runs(self) -> bool:
        """Whether somebody has asked for a look that has not ended, in whichever process."""
        return self._looks.runs()

    def by_settings(self) -> list[Finding]:
        """What the settings alone tell. Opens nothing."""
        return list(self._by_settings())

    def begin(self) -> bool:
        """Look at everything, in a thread. False: the last look has not ended."""
        turn = self._looks.begin()
        if turn is None:
            return False
        try:
            threading.Thread(target=self._run, args=(turn,), name="tapekeeper-examination", daemon=True).start()
        except BaseException:  # the system has no thread to give; the next look tries it again
            self._looks.end(turn, None)
            raise
        return True

    def _run(self, turn: datetime) -> None:
        findings: list[examinations.Finding] | None = None
        try:
            findings = [examinations.Finding(row.level, row.part, row.message, row.mend) for row in self._examine()]
        except (Exception, SystemExit):
            log.exception("The look at the whole deployment broke off; flask doctor does the same at a shell.")
        try:
            self._looks.end(turn, findings)
        except CatalogueUnavailable as error:
            log.warning("What the look at the whole deployment found is not kept; take another one. %s", error)
