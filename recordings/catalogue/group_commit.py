"""Work that waits for the same thing, done together: what several threads bring at once becomes one transaction.

A durable commit costs the same for one row as for many, and so does most of what a statement costs. Whoever comes alone
is served at once; where several came the last time, as many are waited for, for 8 ms at the most: with less patience
batches stay small and cost more, with more of it nobody is quicker. What the work is, is not known here.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

# One more than came the last time is waited for as long as there is one. Where it stayed away, that is tried again only
# after so many batches: it may not exist, and then the waiting takes all the patience there is.
_UNTIL_NEXT_TRIAL = 16

Item = TypeVar("Item")
Result = TypeVar("Result")


class GroupCommit(Generic[Item, Result]):
    """`work` takes the items of all threads that wait, in their order, and gives a result for each.

    The first thread works for all, then one of those that came meanwhile. When `work` raises, each item is tried by
    itself, so that nobody suffers for another's; an error of the kind `common` is everybody's, and not tried again.
    At `most` so many make a batch; company is waited for with so much `patience`, in seconds.
    """

    def __init__(
        self,
        work: Callable[[Sequence[Item]], Sequence[Result]],
        common: type[Exception],
        *,
        most: int = 64,
        patience: float = 0.008,
    ) -> None:
        self._work = work
        self._common = common
        self._most = most
        self._patience = patience
        self._guard = threading.Lock()
        self._waiting: list[_Ticket[Item, Result]] = []
        self._working = False
        self._expected = 1  # as many as are waited for
        self._until_trial = 0  # batches until one more is waited for
        self._gathered = threading.Event()

    def do(self, item: Item) -> Result:
        """The result for this item. Raises what `work` raises for it."""
        ticket: _Ticket[Item, Result] = _Ticket(item)
        with self._guard:
            self._waiting.append(ticket)
            if len(self._waiting) >= self._expected:
                self._gathered.set()
            first, self._working = not self._working, True
        if not first:
            ticket.sleep.acquire()
        if not ticket.done:
            self._serve(ticket)
        if ticket.error is not None:
            raise ticket.error
        return ticket.results[0]

    def _serve(self, mine: _Ticket[Item, Result]) -> None:
        batch = [mine]
        try:
            self._gathered.wait(self._patience)
            batch = self._next_batch()
            self._try(batch)
        finally:
            for ticket in batch:
                if not ticket.done:  # this thread was torn out of the work
                    ticket.error = self._common("The work was broken off.")
            with self._guard:
                if mine in self._waiting:  # torn out before the work began
                    self._waiting.remove(mine)
                successor = self._waiting[:1]
                self._working = bool(successor)
            for ticket in (*batch, *successor):
                ticket.sleep.release()

    def _next_batch(self) -> list[_Ticket[Item, Result]]:
        with self._guard:
            batch, self._waiting = self._waiting[: self._most], self._waiting[self._most :]
            self._expect(len(batch))
            if len(self._waiting) < self._expected:
                self._gathered.clear()
        return batch

    def _expect(self, came: int) -> None:
        """How many are waited for next, now that so many came."""
        if came < self._expected:
            self._until_trial = _UNTIL_NEXT_TRIAL
        elif self._until_trial:
            self._until_trial -= 1
        self._expected = min(came + 1, self._most) if came > 1 and not self._until_trial else came

    def _try(self, batch: Sequence[_Ticket[Item, Result]]) -> None:
        try:
            for ticket, result in zip(batch, self._work([ticket.item for ticket in batch]), strict=True):
                ticket.results.append(result)
        except self._common as error:
            for ticket in batch:
                ticket.error = type(error)(*error.args)  # its own: a raised error carries its thread's traceback
        except Exception as error:
            if len(batch) == 1:
                batch[0].error = error
            else:
                for ticket in batch:
                    self._try([ticket])


class _Ticket(Generic[Item, Result]):
    """One item, and the lock on which its thread sleeps until there is a result, or until it is to work itself."""

    def __init__(self, item: Item) -> None:
        self.item = item
        self.results: list[Result] = []
        self.error: Exception | None = None
        self.sleep = threading.Lock()
        self.sleep.acquire()

    @property
    def done(self) -> bool:
        return bool(self.results) or self.error is not None
