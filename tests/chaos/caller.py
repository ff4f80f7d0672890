"""Announces recordings as Vonage does: each event is signed, sent once more after a failure, and then forgotten.

Only acknowledged events count: Vonage itself would have lost the others, without a word.
"""

from __future__ import annotations

import random
import threading
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field

from simulator import events
from simulator.delivery import EVENT_TIMEOUT, Courier
from simulator.signing import Signer
from tests.services.application import APPLICATION_ID, SIGNATURE_SECRET


@dataclass
class Announced:
    """The recordings that were announced: recording_uuid to file id, by whether the application answered 2xx."""

    acknowledged: dict[str, str] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)
    statuses: list[int | None] = field(default_factory=list)
    slowest: float = 0.0


class Caller:
    """Announces recordings from several threads until `wanted` of them are acknowledged.

    `allow(count)` lets so many more go out; without it nothing is sent. Every tenth event comes twice.
    """

    def __init__(self, origin: str, urls: Sequence[str], wanted: int, *, seed: int = 1, threads: int = 8) -> None:
        self.announced = Announced()
        self._origin, self._urls, self._wanted, self._seed = origin, urls, wanted, seed
        self._allowed = threading.Semaphore(0)
        self._guard = threading.Lock()
        self._done = threading.Event()
        self._threads = [threading.Thread(target=self._call, args=(number,), daemon=True) for number in range(threads)]
        for thread in self._threads:
            thread.start()

    def allow(self, count: int) -> None:
        """Allow so many more events to be sent."""
        if count > 0:
            self._allowed.release(count)

    @property
    def done(self) -> bool:
        """Whether `wanted` recordings are acknowledged."""
        return self._done.is_set()

    def close(self) -> None:
        self._done.set()
        self.allow(len(self._threads))
        for thread in self._threads:
            thread.join()

    def _call(self, number: int) -> None:
        chance = random.Random(f"{self._seed}/{number}")
        courier = Courier(Signer(SIGNATURE_SECRET, "a1b2c3d", APPLICATION_ID))
        while True:
            self._allowed.acquire()
            if self.done:
                courier.close()
                return
            self._announce(courier, chance)

    def _announce(self, courier: Courier, chance: random.Random) -> None:
        recording = str(uuid.UUID(int=chance.getrandbits(128), version=4))
        size = chance.choice((1_000, 20_000, 60_000, 130_000))
        file_id = f"sized-{size}-{recording}"
        now, url = time.time(), f"{chance.choice(self._urls)}/webhooks/recordings"
        payload = events.recording(
            recording, events.new_conversation(), f"{self._origin}/v1/files/{file_id}", size, now - 8, now, now
        )
        for _ in range(2 if chance.random() < 0.1 else 1):
            reply = courier.send(courier.sign(url, payload), EVENT_TIMEOUT)
            self._note(recording, file_id, reply.status, reply.seconds)

    def _note(self, recording: str, file_id: str, status: int | None, seconds: float) -> None:
        with self._guard:
            announced = self.announced
            announced.statuses.append(status)
            announced.slowest = max(announced.slowest, seconds)
            if status is not None and 200 <= status < 300:
                announced.acknowledged[recording] = file_id
                announced.refused.pop(recording, None)
            elif recording not in announced.acknowledged:
                announced.refused[recording] = file_id
            if len(announced.acknowledged) >= self._wanted:
                self._done.set()
