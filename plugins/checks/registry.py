"""What a check is: a promise of a storage backend, how much depends on it, and the function that tries it.

A store must keep what recordings depend on: else one could be lost, be stored false, or end the worker. A store should
keep what is thrift, order or comfort: else everything still arrives, and the author of the backend is warned.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from plugins.sandbox import Sandbox


class Level(StrEnum):
    """Whether a store must keep a promise, or should."""

    MUST = "must"
    SHOULD = "should"


@dataclass(frozen=True, slots=True)
class Check:
    """A promise: its name, the promise in a sentence, the function that tries it, and its level."""

    name: str
    promise: str
    run: Callable[[Sandbox], None]
    level: Level


CHECKS: list[Check] = []


def must(run: Callable[[Sandbox], None]) -> Callable[[Sandbox], None]:
    """Add a function to `CHECKS` under its own name, as a promise that must be kept; its docstring is the promise."""
    return _add(run, Level.MUST)


def should(run: Callable[[Sandbox], None]) -> Callable[[Sandbox], None]:
    """Add a function to `CHECKS` under its own name, as a promise whose breach is only warned of."""
    return _add(run, Level.SHOULD)


def _add(run: Callable[[Sandbox], None], level: Level) -> Callable[[Sandbox], None]:
    CHECKS.append(Check(run.__name__, " ".join((inspect.getdoc(run) or "").split()), run, level))
    return run
