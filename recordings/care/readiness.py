"""The last known state of this process and of the parts that it needs: what `/readyz` answers with.

A thread for each part checks it again and again. A request only reads the last results: it waits for no check and no
lock, also while every part hangs. What a check looks at is in `checks`.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from recordings.messages import message_of, presentable

log = logging.getLogger(__name__)

_HANGS_SECONDS = 10.0
_STALE_SECONDS = 90.0
_WATCH_SECONDS = 2.0  # between two searches for a change to log
_SOON_SECONDS = 2.0

Starter = Callable[[str, Callable[[], None]], object]


@dataclass(frozen=True, slots=True)
class PartCheck:
    """`run` raises what is wrong with the part, or returns a warning, or None. It runs every `every` seconds.

    While something is wrong or deserves a warning, it runs every `soon` seconds, so that a mend shows soon.
    """

    part: str
    run: Callable[[], str | None]
    every: float = 15.0
    soon: float = _SOON_SECONDS


@dataclass(frozen=True, slots=True)
class Report:
    """A sentence for each part that cannot be used, that deserves a warning, or that was not looked at so far.

    `ages`: for how many seconds the last result of each part has been known.
    """

    problems: Mapping[str, str] = field(default_factory=dict)
    warnings: Mapping[str, str] = field(default_factory=dict)
    unknown: Mapping[str, str] = field(default_factory=dict)
    ages: Mapping[str, float] = field(default_factory=dict, compare=False)


@dataclass(frozen=True, slots=True)
class _Result:
    at: float
    problem: str | None = None
    warning: str | None = None


class _Part:
    """One part: its last result, and when its running check began (None: no check runs)."""

    def __init__(self, check: PartCheck, ticks: Callable[[], float]) -> None:
        self.check = check
        self.result: _Result | None = None
        self.began: float | None = None
        self._ticks = ticks

    def look(self) -> float:
        """Run the check, and keep its result. Returns the seconds until the next look."""
        self.began = self._ticks()
        problem = warning = None
        try:
            warning = self.check.run()
        except BaseException as error:  # a plugin's check may raise anything, and may exit
            problem = message_of(error)
        self.result = _Result(self._ticks(), problem, warning and presentable(warning))
        self.began = None
        return self.check.soon if problem or warning else self.check.every


class Readiness:
    """The last results of some checks. `start_thread` runs a function in a thread of this name, under the supervisor.

    A check that runs for more than `hangs` seconds is a problem, and so is a result that is older than `stale` seconds.
    Every change is logged once.
    """

    def __init__(
        self,
        checks: Sequence[PartCheck],
        start_thread: Starter,
        *,
        hangs: float = _HANGS_SECONDS,
        stale: float = _STALE_SECONDS,
        watch: float = _WATCH_SECONDS,
        ticks: Callable[[], float] = time.monotonic,
    ) -> None:
        self._parts = [_Part(check, ticks) for check in checks]
        self._start_thread = start_thread
        self._hangs = hangs
        self._stale = stale
        self._watch_seconds = watch
        self._ticks = ticks
        self._starting = threading.Lock()
        self._pid: int | None = None
        self._begun: set[tuple[int, str]] = set()  # the threads that were started, each with its process
        self._stopping = threading.Event()

    def start(self) -> None:
        """Start the checks, unless this process has started them. Returns at once; safe after a fork.

        Raises `RuntimeError` when the system has no thread to give; called again, it starts the rest.
        """
        if self._pid == os.getpid() or not self._starting.acquire(blocking=False):
            return
        try:
            for part in self._parts:
                self._start(f"tapekeeper-check-{part.check.part.replace(' ', '-')}", partial(self._look, part))
            self._start("tapekeeper-readiness", self._watch)
            self._pid = os.getpid()
        finally:
            self._starting.release()

    def _start(self, name: str, run: Callable[[], None]) -> None:
        if (os.getpid(), name) not in self._begun:
            self._start_thread(name, run)
            self._begun.add((os.getpid(), name))

    def stop(self) -> None:
        """End the threads, except those whose check hangs."""
        self._stopping.set()

    def report(self) -> Report:
        """What is known now. Waits for nothing."""
        problems, warnings, unknown = {}, {}, {}
        ages = {part.check.part: self._ticks() - part.result.at for part in self._parts if part.result}
        for part in self._parts:
            name, result = part.check.part, part.result
            if problem := self._lateness(part) or (result and result.problem):
                problems[name] = problem
            elif result is None:
                unknown[name] = "It is being looked at for the first time."
            elif result.warning:
                warnings[name] = result.warning
        return Report(problems, warnings, unknown, ages)

    def _lateness(self, part: _Part) -> str | None:
        began, result, now = part.began, part.result, self._ticks()
        if began is not None and now - began > self._hangs:
            return f"It does not answer: its check has been running for more than {self._hangs:g} s."
        if result is not None and now - result.at > self._stale:
            return f"It was not looked at for more than {self._stale:g} s; the log of this process tells why."
        return None

    def _look(self, part: _Part) -> None:
        while not self._stopping.is_set():
            self._stopping.wait(part.look())

    def _watch(self) -> None:
        known: Mapping[str, str] = {}
        while not self._stopping.is_set():
            report = self.report()
            faults = {**report.warnings, **report.problems}
            for part, sentence in faults.items():
                if known.get(part) != sentence:
                    log.warning("/readyz, %s: %s", part, sentence)
            for part in known.keys() - faults.keys() - report.unknown.keys():
                log.info("/readyz, %s: as it should be again.", part)
            known = faults
            self._stopping.wait(self._watch_seconds)
