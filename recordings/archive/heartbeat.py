"""Keeps the leases of the copies that this process works on: one thread for all of them.

A lease that another worker took over is reported to its work, which stops. A database that cannot be reached is no
reason to stop: the fence in the catalogue decides when it is back.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from recordings.catalogue.leases import Claim, Leases
from recordings.errors import CatalogueUnavailable

log = logging.getLogger(__name__)


class HeldLease:
    """A claim in work. `lost()` is true once another worker has it, or this one must let go."""

    def __init__(self, claim: Claim) -> None:
        self.claim = claim
        self._lost = threading.Event()

    def lost(self) -> bool:
        """Asked by the work between two reads."""
        return self._lost.is_set()

    def let_go(self) -> None:
        """Tell the work to stop."""
        self._lost.set()


class Heartbeat:
    """Renews every held claim each third of its lease. The thread starts with the first claim; safe before forks."""

    def __init__(self, leases: Leases, start_thread: Callable[[str, Callable[[], None]], object] | None = None) -> None:
        self._leases = leases
        self._start_thread = start_thread or _start_thread
        self._held: dict[str, HeldLease] = {}
        self._guard = threading.Condition()
        self._started = False
        self._closed = threading.Event()

    @contextmanager
    def holding(self, claim: Claim) -> Iterator[HeldLease]:
        """Hold the claim's lease while the block runs."""
        held = HeldLease(claim)
        with self._guard:
            self._held[claim.token] = held
            self._start()
        try:
            yield held
        finally:
            with self._guard:
                self._held.pop(claim.token, None)
                self._guard.notify_all()

    def release_all(self, patience: float = 2) -> list[int]:
        """Tell all work to stop, then give the leases back; for shutdown. Returns the copies that others may take.

        The work gets `patience` seconds to hear it, so that two rarely work on one copy.
        """
        self._closed.set()
        with self._guard:
            held = list(self._held.values())
            for one in held:
                one.let_go()
            self._guard.wait_for(lambda: not self._held, patience)
        return [one.claim.copy_id for one in held if self._gave_back(one.claim)]

    def _gave_back(self, claim: Claim) -> bool:
        try:
            return self._leases.give_back(claim)
        except CatalogueUnavailable as error:
            log.warning("A lease could not be given back and will run out by itself. %s", error)
            return False

    def beat(self) -> None:
        """Renew once. The thread calls this; tests may."""
        with self._guard:
            held = dict(self._held)
        if not held:
            return
        try:
            ours = self._leases.renew(list(held))
        except CatalogueUnavailable as error:
            log.warning("Leases could not be renewed; the work goes on. %s", error)
            return
        for token in held.keys() - ours:
            with self._guard:
                still = self._held.get(token)
            if still is not None:
                log.warning("Lost the lease on %s.", still.claim.recording.recording_uuid)
                still.let_go()

    def _start(self) -> None:
        if not self._started:
            self._started = True
            self._start_thread("tapekeeper-heartbeat", self._run)

    def _run(self) -> None:
        while not self._closed.wait(self._leases.lease / 3):
            self.beat()


def _start_thread(name: str, run: Callable[[], None]) -> None:
    threading.Thread(target=run, name=name, daemon=True).start()
