"""Vonage and its callers at a steady rate, whatever becomes of the requests before: each request leaves at its time.

What came back is held to three promises: an answer within a second, every event 204 or 503 within ten, and everything
that was acknowledged is archived.
"""

from __future__ import annotations

import os
import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from typing import Self

from simulator import events
from simulator.calls import read_answer
from simulator.delivery import ANSWER_TIMEOUT, EVENT_TIMEOUT, new_session
from simulator.processes import wait_for
from tests.chaos.audit import audit
from tests.chaos.caller import Announced, new_courier, new_recording
from tests.chaos.deployment import Deployment

ANSWER_SECONDS = 1.0  # 99 of 100 calls are answered within
EVENT_SECONDS = 10.0  # https://api.support.vonage.com/hc/en-us/articles/17498678806044
SENT_TWICE = (429, 503, 504, None)
PAGE_TIMEOUT = 15.0
_MOST_AT_ONCE = 400  # requests that wait for their reply


@dataclass
class Replies:
    """What came of one kind of request: seconds and outcome of each. Safe for threads: appending is all they do."""

    seconds: list[float] = field(default_factory=list)
    outcomes: Counter[object] = field(default_factory=Counter)

    def note(self, outcome: object, seconds: float) -> None:
        self.seconds.append(seconds)
        self.outcomes[outcome] += 1

    @property
    def p99(self) -> float:
        return sorted(self.seconds)[int(len(self.seconds) * 0.99)]

    def __str__(self) -> str:
        if not self.seconds:
            return "none"
        return f"{len(self.seconds)}, p99 {self.p99:.2f} s, slowest {max(self.seconds):.2f} s, {dict(self.outcomes)}"


class Watch:
    """Sends to a running deployment until the end of the block: `rate` recording events a second, an answer each half
    second, and where `pages` are given, each of them once a second, unsigned.

    An event that is refused or gets no reply is sent once more, as Vonage does. `sizes` are those of the recordings.
    """

    def __init__(
        self,
        deployment: Deployment,
        *,
        rate: float = 2.0,
        sizes: tuple[int, ...] = (1_000, 20_000),
        pages: tuple[str, ...] = (),
        seed: int = 1,
    ) -> None:
        self.answers, self.events, self.announced = Replies(), Replies(), Announced()
        self.pages = {path: Replies() for path in pages}
        self._deployment, self._sizes = deployment, sizes
        self._chance = random.Random(seed)
        self._pool = ThreadPoolExecutor(_MOST_AT_ONCE)
        self._sent: list[Future[None]] = []
        self._stopping = threading.Event()
        paces = [(1 / rate, self._announce), (0.5, self._call), *((1.0, self._asking(path)) for path in pages)]
        self._threads = [threading.Thread(target=self._repeat, args=pace, daemon=True) for pace in paces]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        for thread in self._threads:
            thread.join()
        self._pool.shutdown()
        for sent in self._sent:
            sent.result()  # raises what went wrong in the watch itself

    def __repr__(self) -> str:
        pages = "".join(f"; {path} {replies}" for path, replies in self.pages.items())
        return f"answers {self.answers}; events {self.events}{pages}; load {os.getloadavg()[0]:.1f}"

    def hold_to_promises(self, *, patience: float = 60, answer_seconds: float = ANSWER_SECONDS) -> None:
        """The three promises of the module, after the block; `patience` is for what is still to be archived.

        The figures are printed; pytest shows them with `-rP`.
        """
        assert set(self.answers.outcomes) == {"recorded"}, self
        assert self.answers.p99 < answer_seconds, self
        assert set(self.events.outcomes) <= {204, 503}, self
        assert max(self.events.seconds) < EVENT_SECONDS, self
        self.hold_to_archive(patience=patience)

    def hold_to_archive(self, *, patience: float = 60) -> None:
        """The last of the promises alone, for where nothing serves for a while: requests then wait, or fail."""
        print(self)
        acknowledged, stored = self.announced.acknowledged.keys(), self._deployment.stored
        wait_for(lambda: acknowledged <= stored(), "what was acknowledged is archived", patience, more=self._with_logs)
        account = audit(self._deployment, self.announced)
        assert account.clean, (account.details, str(self))
        assert account.stored == len(self.announced.acknowledged) > 0, self

    def _with_logs(self) -> str:
        return f"{self}\n" + "\n".join(process.last_lines() for process in self._deployment.all if process.started)

    def _repeat(self, pause: float, send: Callable[[], None]) -> None:
        begun, number = time.monotonic(), 0
        while not self._stopping.wait(max(0.0, begun + number * pause - time.monotonic())):
            self._sent.append(self._pool.submit(send))
            number += 1

    def _url(self) -> str:
        return self._deployment.door or self._chance.choice([web.url for web in self._deployment.webs])

    def _announce(self) -> None:
        recording, file_id, payload = new_recording(self._deployment.files.url, self._chance, self._sizes)
        url = f"{self._url()}/webhooks/recordings"
        with closing(new_courier()) as courier:  # a connection of its own
            for _ in range(2):
                reply = courier.send(courier.sign(url, payload), EVENT_TIMEOUT, tries=1)
                self.events.note(reply.status or reply.error, reply.seconds)
                self.announced.note(recording, file_id, reply)
                if reply.status not in SENT_TWICE:
                    return

    def _call(self) -> None:
        leg = events.inbound_leg("447700900001", "447700900000")
        with closing(new_courier()) as courier:
            request = courier.sign(f"{self._url()}/webhooks/answer", events.answer(leg), method="GET")
            reply = courier.send(request, ANSWER_TIMEOUT, tries=1)
        ncco, complaints = read_answer(reply)
        records = not complaints and any(action["action"] == "record" for action in ncco)
        self.answers.note("recorded" if records else " ".join(complaints) or "no recording", reply.seconds)

    def _asking(self, path: str) -> Callable[[], None]:
        def ask() -> None:
            begun = time.monotonic()
            with new_session() as session:
                try:
                    status: object = session.get(f"{self._url()}{path}", timeout=PAGE_TIMEOUT).status_code
                except OSError as error:  # what requests raises is an OSError
                    status = type(error).__name__
            self.pages[path].note(status, time.monotonic() - begun)

        return ask
