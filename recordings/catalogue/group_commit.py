"""Group commit: what several threads want to commit at the same moment becomes one transaction.

A durable commit costs the same for one row as for many, and so does most of what a statement costs. What is committed
is not known here.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from recordings.timeouts import Deadline

Item = TypeVar("Item")
Result = TypeVar("Result")


class GroupCommit(Generic[Item, Result]):
    """`commit(items, deadline)` commits the items of all threads that wait, and returns a result for each item.

    The first thread commits for all; then the waiting thread whose deadline is the farthest. When `commit`
    raises, it is called again for each item alone, so that no item fails because of another one; an `unavailable`
    error is every item's, and is not tried again. `most` bounds the size of a batch.

    A thread that comes alone is served at once. Otherwise the next commit begins when as many threads wait as had a
    part in the last one, or after `wait` seconds: 8 ms was best, shorter waits make smaller batches that cost more,
    longer ones only add latency.
    """

    def __init__(
        self,
        commit: Callable[[Sequence[Item], Deadline], Sequence[Result]],
        unavailable: type[Exception],
        *,
        most: int = 64,
        wait: float = 0.008,
    ) -> None:
        self._commit = commit
        self._unavailable = unavailable
        self._most = most
        self._wait = wait
        self._guard = threading.Lock()
        self._waiting: list[_Entry[Item, Result]] = []
        self._led = False  # a thread leads: it gathers or commits
        self._expected = 1
        self._gathered = threading.Event()

    @property
    def waiting(self) -> int:
        """How many threads wait for a commit that has not begun."""
        return len(self._waiting)

    def do(self, item: Item, deadline: Deadline) -> Result:
        """The result for this item, or what `commit` raised for it.

        Raises an `unavailable` error when the deadline passes first: then the item may be committed or not.
        """
        entry: _Entry[Item, Result] = _Entry(item, deadline)
        with self._guard:
            entry.leads, self._led = not self._led, True
            if not entry.leads:
                self._waiting.append(entry)
                if len(self._waiting) + 1 >= self._expected:
                    self._gathered.set()
        if not entry.leads:
            self._follow(entry)
        if entry.leads:
            self._lead(entry)
        if entry.error is not None:
            raise entry.error
        return entry.results[0]

    def _follow(self, entry: _Entry[Item, Result]) -> None:
        """Sleep until the entry has its result, or is to lead."""
        entry.sleep.acquire(timeout=entry.deadline.left())
        with self._guard:
            if entry.leads or entry.done:
                return
            if entry in self._waiting:
                self._waiting.remove(entry)
        raise self._unavailable("The database was busy until the time for this request was over.")

    def _lead(self, leader: _Entry[Item, Result]) -> None:
        batch = [leader]
        try:
            self._gather()
            batch = self._next_batch(leader)
            self._commit_batch(batch, leader.deadline)
        finally:
            self._hand_over(batch)

    def _gather(self) -> None:
        with self._guard:
            complete = len(self._waiting) + 1 >= self._expected
            if not complete:
                self._gathered.clear()
        if not complete:
            self._gathered.wait(self._wait)

    def _next_batch(self, leader: _Entry[Item, Result]) -> list[_Entry[Item, Result]]:
        with self._guard:
            others = self._most - 1
            batch, self._waiting = [*self._waiting[:others], leader], self._waiting[others:]
            self._expected = len(batch)
        return batch

    def _hand_over(self, batch: Sequence[_Entry[Item, Result]]) -> None:
        """Wake the threads of this batch, and the thread that leads the next one."""
        with self._guard:
            ended = [entry for entry in batch if entry not in self._waiting]
            for entry in ended:
                if not entry.done:  # an error such as KeyboardInterrupt tore the leader out of the commit
                    entry.error = self._unavailable("The commit was broken off.")
            successors = [max(self._waiting, key=lambda entry: entry.deadline.left())] if self._waiting else []
            for entry in successors:
                self._waiting.remove(entry)
                entry.leads = True
            self._led = bool(successors)
        for entry in (*ended, *successors):
            entry.sleep.release()

    def _commit_batch(self, batch: Sequence[_Entry[Item, Result]], deadline: Deadline) -> None:
        try:
            results = self._commit([entry.item for entry in batch], deadline)
            for entry, result in zip(batch, results, strict=True):
                entry.results.append(result)
        except self._unavailable as error:
            for entry in self._without_time(
                batch, deadline
            ):  # each its own: a raised error carries the traceback of its thread
                entry.error = type(error)(*error.args)
        except Exception as error:
            if len(batch) == 1:
                batch[0].error = error
                return
            for entry in batch:
                self._commit_batch([entry], deadline)

    def _without_time(
        self, batch: Sequence[_Entry[Item, Result]], deadline: Deadline
    ) -> Sequence[_Entry[Item, Result]]:
        """The entries that the error ends. Where only the leader's time was over, the others wait for the next commit.

        What was committed all the same is committed again then: `commit` must bear that.
        """
        if deadline.left():
            return batch
        others = [entry for entry in batch if entry.deadline.left()]
        with self._guard:
            self._waiting[:0] = others
        return [entry for entry in batch if entry not in others]


class _Entry(Generic[Item, Result]):
    """One item, and the lock on which its thread sleeps until the item has a result, or the thread is to lead."""

    def __init__(self, item: Item, deadline: Deadline) -> None:
        self.item = item
        self.deadline = deadline
        self.leads = False
        self.results: list[Result] = []
        self.error: Exception | None = None
        self.sleep = threading.Lock()
        self.sleep.acquire()

    @property
    def done(self) -> bool:
        return bool(self.results) or self.error is not None
