"""A deadline counts down to nothing; a function that hangs costs few callers their time."""

from __future__ import annotations

import threading

import pytest

from recordings.timeouts import Deadline, NoAnswer, TimeLimit


def test_a_deadline_is_never_less_than_nothing(clock):
    deadline = Deadline(8, ticks=lambda: clock.now.timestamp())
    assert deadline.left() == 8
    clock.move(3)
    assert deadline.left() == 5
    clock.move(30)
    assert deadline.left() == 0


@pytest.fixture
def hanging():
    """A function that hangs until the end of the test."""
    release = threading.Event()
    yield lambda: release.wait(30)
    release.set()


def test_after_two_calls_in_a_row_that_hang_none_is_made_for_a_while(hanging, clock):
    limit = TimeLimit(0.02, rest=60, ticks=lambda: clock.now.timestamp())
    for _ in range(2):
        with pytest.raises(NoAnswer, match="longer than"):
            limit.call(hanging)
    with pytest.raises(NoAnswer, match="took too long twice"):
        limit.call(lambda: "quick")
    clock.move(60)
    assert limit.call(lambda: "quick") == "quick"


def test_one_call_that_hangs_now_and_then_stops_no_other(hanging, clock):
    limit = TimeLimit(0.02, rest=60, ticks=lambda: clock.now.timestamp())
    for _ in range(3):
        with pytest.raises(NoAnswer):
            limit.call(hanging)
        assert limit.call(lambda: "quick") == "quick"
