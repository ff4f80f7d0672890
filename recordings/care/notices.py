"""When people are told: a notice when a trouble begins, at most one an hour while it grows, and one when it is over.

All that is due for a recipient at a time goes into one message. Each process looks, and one of them sends: it claims
the rows in `recordings.catalogue.notices`. What a message says stands in `notice_texts`, how it is sent in `people`.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import NamedTuple, Protocol

from recordings.catalogue.notices import Notices, NoticeState
from recordings.catalogue.troubles import Trouble, Troubles
from recordings.clock import utc_now
from recordings.errors import CatalogueUnavailable

from .notice_texts import Change, Notice, compose
from .people import NotSent

log = logging.getLogger(__name__)

LOOK_SECONDS = 60.0
_QUIET = timedelta(hours=1)  # between two notices that a trouble began or grew
# For so long a trouble must be less before that is believed: a blocked copy is not blocked while it is tried again.
_CALM = timedelta(minutes=10)
_CLAIM = timedelta(minutes=2)  # longer than one message may take
_FIRST_REST, _LONGEST_REST = 60.0, 3600.0  # seconds, after a message that was not taken


class Addressee(Protocol):
    """Whom notices go to; see `people.Recipient`."""

    name: str

    def send(self, title: str, text: str, *, well: bool = False) -> None: ...


class Step(NamedTuple):
    """What follows from a look: a notice, if one is due, and what the row says after it."""

    notice: Notice | None
    after: NoticeState


def decide(state: NoticeState, number: int, now: datetime) -> Step | None:
    """What follows for one kind of trouble, of which there is `number` now; None: nothing."""
    since = state.since or now
    if number >= state.number and state.fewer_since:
        state = replace(state, fewer_since=None)
        return decide(state, number, now) or Step(None, state)
    if number > state.number:
        if state.told_at and now - state.told_at < _QUIET:
            return None
        change = Change.GREW if state.number else Change.BEGAN
        after = replace(state, number=number, since=since, told_at=now)
        return Step(Notice(state.kind, change, number, state.number, since), after)
    if number < state.number:
        return _shrunk(state, number, now, since)
    forgotten = replace(state, since=None, attempts=0)  # it was over before anybody could be told
    return Step(None, forgotten) if number == 0 and state.since else None


def _shrunk(state: NoticeState, number: int, now: datetime, since: datetime) -> Step | None:
    if state.fewer_since is None:
        return Step(None, replace(state, fewer_since=now))
    if now - state.fewer_since < _CALM:
        return None
    if number:
        return Step(None, replace(state, number=number, fewer_since=None))
    after = replace(state, number=0, since=None, fewer_since=None)
    return Step(Notice(state.kind, Change.ENDED, 0, state.number, since), after)


class Notifier:
    """Tells the recipients. `public_url` is the address of the pages; `look` the seconds between two looks."""

    def __init__(
        self,
        notices: Notices,
        troubles: Troubles,
        recipients: Sequence[Addressee],
        *,
        public_url: str = "",
        look: float = LOOK_SECONDS,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        self._notices = notices
        self._troubles = troubles
        self.recipients = tuple(recipients)
        self._public_url = public_url
        self._look = look
        self._clock = clock
        self._running = threading.Lock()

    def run(self, stopping: threading.Event) -> None:
        """Look and tell until `stopping` is set. Returns at once where another thread of this process does it."""
        if not self._running.acquire(blocking=False):
            return
        try:
            while not stopping.is_set():
                try:
                    self.look()
                except CatalogueUnavailable as error:
                    log.warning("Notices wait for the database. %s", error)
                stopping.wait(self._look)
        finally:
            self._running.release()

    def look(self) -> None:
        """Count the troubles, and tell each recipient what is due for it."""
        numbers = self._troubles.count()
        states = self._notices.read([recipient.name for recipient in self.recipients])
        for recipient in self.recipients:
            mine = {kind: states.get((recipient.name, kind), NoticeState(kind, recipient.name)) for kind in numbers}
            self._tell(recipient, mine, numbers)

    def _tell(self, recipient: Addressee, states: dict[Trouble, NoticeState], numbers: dict[Trouble, int]) -> None:
        claimed: list[tuple[NoticeState, Notice, NoticeState]] = []
        for kind, state in states.items():
            now = self._clock()
            if state.busy_until and now < state.busy_until:
                continue
            step = decide(state, numbers[kind], now)
            if step is None:
                continue
            if step.notice is None:
                self._notices.change(state, step.after)
                continue
            claim = replace(state, since=step.notice.since, busy_until=now + _CLAIM)
            if held := self._notices.change(state, claim):
                claimed.append((held, step.notice, step.after))
        if claimed:
            self._send(recipient, claimed)

    def _send(self, recipient: Addressee, claimed: Sequence[tuple[NoticeState, Notice, NoticeState]]) -> None:
        contents = [notice for _, notice, _ in claimed]
        title, text = compose(contents, self._public_url)
        try:
            recipient.send(title, text, well=all(notice.change is Change.ENDED for notice in contents))
        except NotSent as error:
            self._rest([held for held, _, _ in claimed], error)
            return
        log.info("%s was told: %s", recipient.name, title)
        for held, _, after in claimed:
            self._notices.change(held, replace(after, busy_until=None, attempts=0))

    def _rest(self, held_states: Sequence[NoticeState], error: NotSent) -> None:
        """Nobody was told. The next attempt waits, longer after each failure."""
        attempts = max(state.attempts for state in held_states)
        seconds = min(_LONGEST_REST, _FIRST_REST * 2.0 ** min(attempts, 20))
        log.error("A notice was not sent. %s Next attempt in %.0f s. Try it: flask notify test", error, seconds)
        then = self._clock() + timedelta(seconds=seconds)
        for state in held_states:
            self._notices.change(state, replace(state, busy_until=then, attempts=attempts + 1))
