"""Chores have each their own time, and the failure of one is nobody else's."""

from __future__ import annotations

import threading

import pytest

from recordings.archive.failures import RetryPolicy
from recordings.archive.heartbeat import Heartbeat
from recordings.engine.engine import Engine
from recordings.engine.periodic import PeriodicTask, PeriodicTasks
from recordings.engine.queues import make_queue
from recordings.errors import CatalogueUnavailable


class Ticks:
    now = 0.0

    def __call__(self):
        return self.now


def test_each_chore_is_done_at_once_and_then_at_its_own_time():
    done, ticks = [], Ticks()
    upkeep = PeriodicTasks(
        [PeriodicTask("a", 10, lambda: done.append("a")), PeriodicTask("b", 60, lambda: done.append("b"))],
        ticks=ticks,
    )
    for ticks.now in (0, 5, 10, 15, 59, 60):
        upkeep()
    assert done == ["a", "b", "a", "a", "b"]


@pytest.mark.parametrize("error", [CatalogueUnavailable("the disk is full"), ZeroDivisionError("a fault of ours")])
def test_a_chore_that_fails_is_told_and_keeps_no_other_from_its_turn(error, caplog):
    done = []

    def fail():
        raise error

    PeriodicTasks([PeriodicTask("The first", 1, fail), PeriodicTask("the second", 1, lambda: done.append(1))])()
    assert done == [1]
    assert "The first" in caplog.text
    assert str(error) in caplog.text


def test_the_sweep_of_a_worker_does_it(leases, tmp_path):
    done = threading.Event()
    upkeep = PeriodicTasks([PeriodicTask("Anything", 60, done.set)])
    queue = f"sqlite:///{tmp_path}/queue.db"
    engine = Engine(
        lambda: make_queue(queue), lambda copy_id: None, leases, Heartbeat(leases), RetryPolicy(), upkeep=upkeep
    )
    engine.start()
    try:
        assert done.wait(20)
    finally:
        engine.stop(timeout=5)
