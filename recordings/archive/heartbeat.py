"""Renews the leases of the copies that this process works on, while the work takes steps: one thread for all of them.

Work stops when another worker has taken over its lease. Work that took no step for ten leases hangs, in a storage or in
a plugin, perhaps for ever: its copy is put back for any worker, and waits as after an error, so that it does not block
one thread after the other. A database that cannot be reached is no reason to stop: once it is back,
the catalogue decides by the claim's token whether an outcome still counts.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from recordings.catalogue.leases import Claim, Leases
from recordings.errors import CatalogueUnavailable, LeaseLost
from recordings.model import State

from .failures import RetryPolicy

log = logging.getLogger(__name__)

PATIENCE_LEASES = 10  # work hangs when it took no step for the time of so many leases


class HeldLease:
    """A claim whose copy is being worked on. `lost()`: another worker has it now, or this process is shutting down.

    The work asks at each step whether it must stop: between two reads of the source, before each question to the store.
    Each question counts as a step of the work.
    """

    def __init__(self, claim: Claim, *, ticks: Callable[[], float] = time.monotonic) -> None:
        self.claim = claim
        self._ticks = ticks
        self._moved = ticks()
        self._lost = threading.Event()

    def lost(self) -> bool:
        """Whether the work must stop. The call counts as a step of the work."""
        self._moved = self._ticks()
        return self._lost.is_set()

    def check(self) -> None:
        """Raise `LeaseLost` when the lease is lost: nothing more may be written then."""
        if self.lost():
            claim = self.claim
            raise LeaseLost(f"Lost {claim.recording.recording_uuid} in {claim.storage} before it was recorded.")

    def still_seconds(self) -> float:
        """For how many seconds the work has not taken a step."""
        return self._ticks() - self._moved

    def let_go(self) -> None:
        """Let the work stop at its next step."""
        self._lost.set()


class Heartbeat:
    """Renews every held claim each third of its lease. The thread starts with the first claim; safe before forks.

    `backoff` gives the wait in seconds of a copy whose work hung, by the number of its attempts; None: `RetryPolicy`'s.
    """

    def __init__(
        self,
        leases: Leases,
        start_thread: Callable[[str, Callable[[], None]], object] | None = None,
        *,
        backoff: Callable[[int], float] | None = None,
        ticks: Callable[[], float] = time.monotonic,
    ) -> None:
        self._leases = leases
        self._start_thread = start_thread or _start_thread
        self._backoff = backoff or RetryPolicy().backoff
        self._ticks = ticks
        self._held: dict[str, HeldLease] = {}
        self._guard = threading.Condition()
        self._started = False
        self._closed = threading.Event()

    @contextmanager
    def holding(self, claim: Claim) -> Iterator[HeldLease]:
        """Hold the claim's lease while the block runs."""
        held = HeldLease(claim, ticks=self._ticks)
        with self._guard:
            self._start()
            self._held[claim.token] = held
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
        return list(self._give_back([lease.claim for lease in leases]))

    def _give_back(self, claims: list[Claim]) -> Iterator[int]:
        """Give the leases back until the database turns out to be away: to ask it for each would take too long."""
        for number, claim in enumerate(claims):
            try:
                if self._leases.give_back(claim):
                    yield claim.copy_id
            except CatalogueUnavailable as error:
                left = len(claims) - number
                log.warning("%d leases could not be given back; each will run out by itself. %s", left, error)
                return

    def beat(self) -> None:
        """Renew, once, the leases of all work that takes steps, and put back the copies of work that hangs."""
        with self._guard:
            leases = list(self._held.values())
        patience = PATIENCE_LEASES * self._leases.lease
        for hanging in [lease for lease in leases if lease.still_seconds() >= patience]:
            leases.remove(hanging)
            self._put_back(hanging, patience)
        if leases:
            self._renew({lease.claim.token: lease for lease in leases})

    def _renew(self, leases: dict[str, HeldLease]) -> None:
        try:
            renewed = self._leases.renew(leases)
        except CatalogueUnavailable as error:
            log.warning("Leases could not be renewed; the work goes on. %s", error)
            return
        except Exception:
            log.exception("Leases could not be renewed, for a reason that nobody foresaw; the work goes on.")
            return
        for token in set(leases) - renewed:
            with self._guard:
                lease = self._held.get(token)
            if lease is not None:  # else the work has ended meanwhile
                log.warning("Lost the lease on %s.", lease.claim.recording.recording_uuid)
                lease.let_go()

    def _put_back(self, lease: HeldLease, patience: float) -> None:
        """Stop renewing this lease, and let the copy wait for another attempt by any worker."""
        claim = lease.claim
        lease.let_go()
        with self._guard:
            if self._held.pop(claim.token, None) is None:
                return  # the work has ended meanwhile
        reason = (
            f"The work moved nothing for {patience:.0f} s at attempt {claim.attempts}: it hangs in the storage or in a "
            "plugin. Look for a store or a disk that does not answer; a restart of the worker frees its thread."
        )
        log.error("%s in %s is let go. %s", claim.recording.recording_uuid, claim.storage, reason)
        try:
            self._leases.retry_later(claim, State.WAITING, reason, self._backoff(claim.attempts))
        except LeaseLost:
            pass  # another worker has the copy
        except Exception as error:
            log.warning("The copy could not be put back, and its lease will run out by itself. %s", error)

    def _start(self) -> None:
        if not self._started:
            self._start_thread("tapekeeper-heartbeat", self._run)
            self._started = True  # only now: where the system has no thread to give, the next claim tries it again

    def _run(self) -> None:
        while not self._closed.wait(self._leases.lease / 3):
            self.beat()


def _start_thread(name: str, run: Callable[[], None]) -> None:
    threading.Thread(target=run, name=name, daemon=True).start()
