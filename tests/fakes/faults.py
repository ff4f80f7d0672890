"""Planned misfortunes for the pretend servers of the tests: which request meets which one.

Plain values: a server asks `strike` for each request, and acts on what it gets.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass
class Fault:
    """`action` is a status to answer with, or a word that the server knows: `reset` (before anything was done),
    `lost` (done, but the answer never arrives), `partial` (half of a chunk is kept), `cut` (the body stops half-way),
    `spoil` (a byte changes on the way). It strikes the matching requests `nth` to `nth + times - 1`.
    """

    action: int | str
    method: str = ""
    path: str = ""
    nth: int = 1
    times: int = 1
    headers: Mapping[str, str] = field(default_factory=dict)
    reason: str = ""
    seen: int = 0
    struck: int = 0

    def hit(self, method: str, path: str) -> bool:
        if (self.method and method != self.method) or not re.search(self.path, path):
            return False
        self.seen += 1
        hit = self.nth <= self.seen < self.nth + self.times
        self.struck += hit
        return hit


class Faults:
    """What is planned, and every request that came (`log`)."""

    def __init__(self) -> None:
        self._planned: list[Fault] = []
        self._lock = threading.Lock()
        self.log: list[str] = []

    def plan(self, action: int | str, **where: object) -> Fault:
        fault = Fault(action, **where)  # type: ignore[arg-type]
        with self._lock:
            self._planned.append(fault)
        return fault

    def clear(self) -> None:
        with self._lock:
            self._planned.clear()
            self.log.clear()

    def strike(self, method: str, path: str) -> Fault | None:
        with self._lock:
            self.log.append(f"{method} {path}")
            return next((fault for fault in self._planned if fault.hit(method, path)), None)
