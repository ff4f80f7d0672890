"""Vonage, as it announces recordings: each event is signed, sent once more after a failure, and then forgotten.

Only acknowledged events count: Vonage itself would have lost the others, without a word. Requests at a steady rate are
in `watch`.
"""

from __future__ import annotations

import random
import threading
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from simulator import events
from simulator.delivery import EVENT_TIMEOUT, Courier
from simulator.results import Reply
from simulator.signing import Signer
from tests.services.application import APPLICATION_ID, SIGNATURE_SECRET

SIZES = (1_000, 20_000, 60_000, 130_000)  # of the recordings, in bytes


@dataclass
class Announced:
    """The recordings that were announced: recording_uuid to file id, by whether the application answered 2xx.

    Safe for threads.
    """

    acknowledged: dict[str, str] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)
    statuses: list[int | None] = field(default_factory=list)
    slowest: float = 0.0
    _guard: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def note(self, recording: str, file_id: str, reply: Reply) -> None:
        """The application's reply to the event of this recording."""
        with self._guard:
            self.statuses.append(reply.status)
            self.slowest = max(self.slowest, reply.seconds)
            if reply.accepted:
                self.acknowledged[recording] = file_id
                self.refused.pop(recording, None)
            elif recording not in self.acknowledged:
                self.refused[recording] = file_id


def new_courier() -> Courier:
    """Signs as the tests' own Vonage application, and sends."""
    return Courier(Signer(SIGNATURE_SECRET, "a1b2c3d", APPLICATION_ID))


def new_recording(origin: str, chance: random.Random, sizes: Sequence[int]) -> tuple[str, str, dict[str, Any]]:
    """A recording of one of these sizes in bytes: its recording_uuid, its file on this file host, and its event."""
    recording = str(uuid.UUID(int=chance.getrandbits(128), version=4))
    size = chance.choice(sizes)
    file_id, now = f"sized-{size}-{recording}", time.time()
    url = f"{origin}/v1/files/{file_id}"
    return recording, file_id, events.recording(recording, events.new_conversation(), url, size, now - 8, now, now)


class Caller:
    """Announces recordings from several threads until `wanted` of them are acknowledged.

    `allow(count)` lets so many more go out; without it nothing is sent. Every tenth event comes twice.
    """

    def __init__(self, origin: str, urls: Sequence[str], wanted: int, *, seed: int = 1, threads: int = 8) -> None:
        self.announced = Announced()
        self._origin, self._urls, self._wanted, self._seed = origin, urls, wanted, seed
        self._allowed = threading.Semaphore(0)
        self._done = threading.Event()
        self._threads = [threading.Thread(target=self._call, args=(number,), daemon=True) for number in range(threads)]
        for thread in self._threads:
            thread.start()

    def allow(self, count: int) -> None:
        """Let so many more events go out, at most."""
        if count > 0:
            self._allowed.release(count)

    @property
    def done(self) -> bool:
        """As many as wanted are acknowledged."""
        return self._done.is_set()

    def close(self) -> None:
        self._done.set()
        self.allow(len(self._threads))
        for thread in self._threads:
            thread.join()

    def _call(self, number: int) -> None:
        chance = random.Random(f"{self._seed}/{number}")
        courier = new_courier()
        while True:
            self._allowed.acquire()
            if self.done:
                courier.close()
                return
            self._announce(courier, chance)

    def _announce(self, courier: Courier, chance: random.Random) -> None:
        recording, file_id, payload = new_recording(self._origin, chance, SIZES)
        url = f"{chance.choice(self._urls)}/webhooks/recordings"
        for _ in range(2 if chance.random() < 0.1 else 1):
            self.announced.note(recording, file_id, courier.send(courier.sign(url, payload), EVENT_TIMEOUT))
        if len(self.announced.acknowledged) >= self._wanted:
            self._done.set()
