"""The last thorough look at the whole deployment, taken in a thread beside the requests, one at a time.

What is looked at is given: here it is only run, and what it found is kept in the memory of this process.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from recordings.clock import utc_now

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


@dataclass(frozen=True, slots=True)
class Result:
    """What was found, and when the look ended."""

    at: datetime
    findings: tuple[Finding, ...]


class Examination:
    """`examine` looks at everything and may take long; `by_settings` looks at what the settings alone tell, at once."""

    def __init__(
        self,
        examine: Callable[[], Iterable[Finding]],
        by_settings: Callable[[], Iterable[Finding]],
        *,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        self._examine = examine
        self._by_settings = by_settings
        self._clock = clock
        self._running = threading.Lock()
        self.last: Result | None = None

    @property
    def runs(self) -> bool:
        """Whether somebody has asked for a look that has not ended."""
        return self._running.locked()

    def by_settings(self) -> list[Finding]:
        """What the settings alone tell. Opens nothing."""
        return list(self._by_settings())

    def begin(self) -> bool:
        """Look at everything, in a thread. False: the last look has not ended."""
        if not self._running.acquire(blocking=False):
            return False
        try:
            threading.Thread(target=self._run, name="tapekeeper-examination", daemon=True).start()
        except BaseException:  # the system has no thread to give; the next look tries it again
            self._running.release()
            raise
        return True

    def _run(self) -> None:
        try:
            self.last = Result(self._clock(), tuple(self._examine()))
        except Exception:
            log.exception("The look at the whole deployment broke off; flask doctor does the same at a shell.")
        finally:
            self._running.release()
