"""Renews the leases of the copies that this process works on: one thread for all of them.

Work whose lease another worker took over is told so, and stops. A database that cannot be reached is no reason to stop:
once it is back, the catalogue decides by the claim's token whether an outcome still counts.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from recordings.catalogue.leases import Claim, Leases
from recordings.errors import CatalogueUnavailable, LeaseLost

log = logging.getLogger(__name__)


class HeldLease:
    """A claim whose copy is being worked on. `lost()`: another worker has it now, or this process is shutting down."""

    def __init__(self, claim: Claim) -> None:
        self.claim = claim
        self._lost = threading.Event()

    def lost(self) -> bool:
        """Whether the work must stop; asked between two reads."""
        return self._lost.is_set()

    def check(self) -> None:
        """Raise `LeaseLost` when the lease is lost: nothing more may be written then."""
        if self.lost():
            claim = self.claim
            raise LeaseLost(f"Lost {claim.recording.recording_uuid} in {claim.storage} before it was recorded.")

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

    def release_all(self, timeout: float = 2) -> list[int]:
        """Tell all work to stop, then give the leases back; for shutdown. Returns the copies that were given back.

        The work gets `timeout` seconds to stop, so that two workers are rarely at one copy.
        """
        self._closed.set()
        with self._guard:
            leases = list(self._held.values())
            for lease in leases:
                lease.let_go()
            self._guard.wait_for(lambda: not self._held, timeout)
        return [lease.claim.copy_id for lease in leases if self._gave_back(lease.claim)]

    def _gave_back(self, claim: Claim) -> bool:
        try:
            return self._leases.give_back(claim)
        except CatalogueUnavailable as error:
            log.warning("A lease could not be given back and will run out by itself. %s", error)
            return False

    def beat(self) -> None:
        """Renew all leases once."""
        with self._guard:
            tokens = list(self._held)
        if not tokens:
            return
        try:
            renewed = self._leases.renew(tokens)
        except CatalogueUnavailable as error:
            log.warning("Leases could not be renewed; the work goes on. %s", error)
            return
        for token in set(tokens) - renewed:
            with self._guard:
                lease = self._held.get(token)
            if lease is not None:  # else the work has ended meanwhile
                log.warning("Lost the lease on %s.", lease.claim.recording.recording_uuid)
                lease.let_go()

    def _start(self) -> None:
        if not self._started:
            self._started = True
            self._start_thread("tapekeeper-heartbeat", self._run)

    def _run(self) -> None:
        while not self._closed.wait(self._leases.lease / 3):
            self.beat()


def _start_thread(name: str, run: Callable[[], None]) -> None:
    threading.Thread(target=run, name=name, daemon=True).start()
