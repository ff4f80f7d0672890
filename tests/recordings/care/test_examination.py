"""The look at everything runs once at a time, beside the requests, and a check that raises does not end it for good."""

from __future__ import annotations

import threading
from datetime import UTC, datetime

import pytest

from recordings.care.examination import Examination, Result

NOW = datetime(2026, 11, 22, tzinfo=UTC)


@pytest.fixture
def proceed():
    return threading.Event()


def test_one_look_at_a_time_and_its_result_is_kept(until, proceed):
    def examine():
        proceed.wait(30)
        yield "a finding"

    examination = Examination(examine, lambda: ["at once"], clock=lambda: NOW)
    assert (examination.last, examination.runs, examination.by_settings()) == (None, False, ["at once"])
    assert examination.begin()
    assert examination.runs
    assert not examination.begin()
    proceed.set()
    until(lambda: not examination.runs, "the look has ended")
    assert examination.last == Result(NOW, ("a finding",))
    assert examination.begin()
    until(lambda: not examination.runs, "the second look has ended")


def test_a_look_that_breaks_off_is_logged_and_the_next_one_begins(until, caplog):
    def examine():
        raise RuntimeError("no thread")
        yield

    examination = Examination(examine, list)
    assert examination.begin()
    until(lambda: not examination.runs, "the look has ended")
    assert "broke off" in caplog.text
    assert examination.last is None
    assert examination.begin()
    until(lambda: not examination.runs, "the second look has ended")
