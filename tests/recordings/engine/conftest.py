"""Engines whose archiving is a note in a list, and copies for them."""

from __future__ import annotations

import pytest

from recordings.archive.heartbeat import Heartbeat
from recordings.catalogue.intake import Intake
from recordings.catalogue.leases import Leases
from recordings.catalogue.schedule import Schedule
from recordings.engine.engine import Engine
from recordings.engine.periodic import PeriodicTasks
from recordings.engine.supervisor import Supervisor
from recordings.engine.wake import Bell

STORAGE = "file:///tapes"


@pytest.fixture
def leases(database):
    return Leases(database)  # by the real clock, as the engine's threads run by it


@pytest.fixture
def make_engine(database, leases):
    """`make_engine(archive, **more)`: an engine with two threads; all engines are stopped at the end."""
    made = []

    def make(archive=lambda claim: None, *, heartbeat=None, tasks=(), **more):
        parts = {"leases": leases, "schedule": Schedule(database), "bell": Bell(), "supervisor": Supervisor(pause=0.01)}
        parts |= {"heartbeat": heartbeat or Heartbeat(leases), "tasks": PeriodicTasks(tasks), "threads": 2}
        made.append(Engine(archive, **parts | more))
        return made[-1]

    yield make
    for engine in made:
        engine.stop(timeout=2)


@pytest.fixture
def announce(database, delivery, announcement):
    """`announce(bell)`: a new recording is committed, and the workers beside this bell hear of it; its copy's id."""

    def commit(bell=None, **changes):
        told = {"announce": bell.ring} if bell else {}
        return Intake(database, [STORAGE], **told).accept(delivery(), [announcement(**changes)]).copy_ids[0]

    return commit


class Done:
    """Archives by noting the copy; `ids` are those that were done, in their order."""

    def __init__(self, leases):
        self._leases = leases
        self.ids = []

    def __call__(self, claim):
        self.ids.append(claim.copy_id)
        self._leases.failed(claim, "done, in a way")


@pytest.fixture
def make_done(leases):
    """`make_done()`: something that archives by noting the copy."""
    return lambda: Done(leases)


@pytest.fixture
def done(make_done):
    """One of them."""
    return make_done()
