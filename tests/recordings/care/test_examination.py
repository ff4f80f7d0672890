"""The look at everything runs once at a time, beside the requests, and each process shows what the last one found."""

from __future__ import annotations

import threading

import pytest

from recordings.care.examination import Examination
from recordings.catalogue.examinations import Examinations, Finding, Result

FOUND = Finding("warning", "disk", "It is nearly full.", "Free some room.")


@pytest.fixture
def proceed():
    return threading.Event()


@pytest.fixture
def looks(database, clock):
    return Examinations(database, clock=clock)


def test_one_look_at_a_time_and_its_result_is_kept(until, proceed, looks, clock):
    def examine():
        proceed.wait(30)
        yield FOUND

    examination = Examination(examine, lambda: ["at once"], looks)
    assert (examination.last, examination.runs, examination.by_settings()) == (None, False, ["at once"])
    assert examination.begin()
    assert examination.runs
    assert not examination.begin()
    proceed.set()
    until(lambda: not examination.runs, "the look has ended")
    assert examination.last == Result(clock(), (FOUND,))
    assert examination.begin()
    until(lambda: not examination.runs, "the second look has ended")


def test_every_process_shows_it_and_none_takes_a_second_look_beside_it(until, proceed, looks, make_database, clock):
    def examine():
        proceed.wait(30)
        yield FOUND

    here = Examination(examine, list, looks)
    there = Examination(examine, list, Examinations(make_database(), clock=clock))
    assert here.begin()
    assert there.runs
    assert not there.begin()
    proceed.set()
    until(lambda: not there.runs, "the look has ended")
    assert there.last == here.last == Result(clock(), (FOUND,))


@pytest.mark.parametrize("error", [RuntimeError("no thread"), SystemExit(3)])
def test_a_look_that_breaks_off_is_logged_and_the_next_one_begins(until, caplog, looks, error):
    def examine():
        raise error
        yield

    examination = Examination(examine, list, looks)
    assert examination.begin()
    until(lambda: not examination.runs, "the look has ended")
    assert "broke off" in caplog.text
    assert examination.last is None
    assert examination.begin()
    until(lambda: not examination.runs, "the second look has ended")


def test_a_look_that_breaks_off_leaves_what_the_last_one_found(looks, clock):
    looks.end(looks.begin(), [FOUND])
    looks.end(looks.begin(), None)
    assert looks.last() == Result(clock(), (FOUND,))


def test_a_process_that_died_in_its_look_keeps_nobody_from_the_next(looks, clock):
    assert looks.begin()
    clock.move(599)
    assert (looks.runs(), looks.begin()) == (True, None)
    clock.move(1)
    assert (looks.runs(), looks.begin()) == (False, clock())


def test_a_look_that_ends_after_its_time_leaves_the_turn_of_the_next_one(looks, clock):
    slow = looks.begin()
    clock.move(600)
    assert looks.begin()
    looks.end(slow, [FOUND])
    assert (looks.runs(), looks.begin()) == (True, None)


def test_without_a_thread_to_give_the_turn_is_given_back(looks, without_threads):
    examination = Examination(list, list, looks)
    assert not examination.runs
    with without_threads(), pytest.raises(RuntimeError):
        examination.begin()
    assert not examination.runs
