"""Each periodic task has its own time, and the failure of one keeps no other from its turn."""

from __future__ import annotations

import pytest

from recordings.engine.periodic import PeriodicTask, PeriodicTasks
from recordings.errors import CatalogueUnavailable


class Ticks:
    now = 0.0

    def __call__(self):
        return self.now


def test_each_task_is_done_at_once_and_then_at_its_own_time():
    done, ticks = [], Ticks()
    tasks = PeriodicTasks(
        [PeriodicTask("a", 10, lambda: done.append("a")), PeriodicTask("b", 60, lambda: done.append("b"))],
        ticks=ticks,
    )
    for ticks.now in (0, 5, 10, 15, 59, 60):
        tasks()
    assert done == ["a", "b", "a", "a", "b"]


@pytest.mark.parametrize(
    "error",
    [CatalogueUnavailable("the disk is full"), ZeroDivisionError("a fault of ours"), SystemExit("a plugin exits")],
)
def test_a_task_that_fails_is_logged_and_keeps_no_other_from_its_turn(error, caplog):
    done = []

    def fail():
        raise error

    PeriodicTasks([PeriodicTask("The first", 1, fail), PeriodicTask("the second", 1, lambda: done.append(1))])()
    assert done == [1]
    assert "The first" in caplog.text
    assert str(error) in caplog.text
