"""The engine: copies that are due are archived, by whoever hears of them first, and stopping loses nothing."""

from __future__ import annotations

import threading

import pytest

from recordings.archive.heartbeat import Heartbeat
from recordings.engine.periodic import PeriodicTask
from recordings.engine.wake import Bell
from recordings.errors import CatalogueUnavailable, LeaseLost
from recordings.model import State

STORAGE = "file:///tapes"


# --- Hearing of work --------------------------------------------------------------------------------------------------


def test_what_was_due_before_the_start_is_archived(make_engine, announce, done, until):
    ids = [announce() for _ in range(5)]
    make_engine(done).start()
    until(lambda: sorted(done.ids) == ids, "all are archived")


def test_a_commit_in_this_process_wakes_a_thread_at_once(make_engine, announce, done, until):
    bell = Bell()
    engine = make_engine(done, bell=bell)
    engine.start()
    until(lambda: bell.asleep == 2, "both threads sleep")
    before = bell.rings
    copy_id = announce(bell)
    assert bell.rings > before
    until(lambda: done.ids == [copy_id], "it is archived")


def test_a_commit_in_another_process_is_heard(make_engine, announce, done, until):
    bell = Bell()
    make_engine(done, bell=bell).start()
    until(lambda: bell.asleep == 2, "both threads sleep")
    copy_id = announce()
    until(lambda: done.ids == [copy_id], "it is archived")


def test_two_copies_get_two_threads(make_engine, announce, leases, until):
    bell, meeting, done = Bell(), threading.Barrier(2), []

    def archive(claim):
        meeting.wait(10)  # each of two copies needs a thread of its own
        done.append(claim.copy_id)
        leases.failed(claim, "done, in a way")

    make_engine(archive, bell=bell).start()
    until(lambda: bell.asleep == 2, "both threads sleep")
    ids = [announce(bell), announce(bell)]
    until(lambda: sorted(done) == ids, "both threads woke up")


def test_a_copy_whose_back_off_is_over_is_archived(make_engine, announce, leases, done, until):
    copy_id = announce()
    leases.retry_later(leases.claim(copy_id), State.WAITING, "404", 0.3)
    make_engine(done).start()
    until(lambda: done.ids == [copy_id], "it is archived")


def test_a_copy_that_was_blocked_is_tried_again_when_a_worker_starts(make_engine, announce, leases, done, until):
    copy_id = announce()
    leases.retry_later(leases.claim(copy_id), State.BLOCKED, "the wrong key", 3600)
    make_engine(done).start()
    until(lambda: done.ids == [copy_id], "it is archived")


def test_a_storage_without_room_does_not_keep_the_threads_from_the_other(make_engine, announce, done, until):
    announce()
    engine = make_engine(done, full=lambda: {STORAGE})
    engine.start()
    until(lambda: engine._bell.asleep == 2, "both threads sleep")
    assert done.ids == []


def test_no_thread_runs_before_the_start(make_engine):
    before = threading.active_count()
    make_engine()
    assert threading.active_count() == before


# --- What goes wrong --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("error", [RuntimeError("no code foresaw this"), SystemExit("a plugin exits")])
def test_work_that_breaks_off_ends_no_thread(make_engine, announce, leases, until, caplog, error):
    done = []

    def archive(claim):
        if len(done) < 4:
            done.append(claim.copy_id)
            raise error
        leases.failed(claim, "done, in a way")
        done.append(claim.copy_id)

    ids = [announce() for _ in range(5)]
    make_engine(archive).start()
    until(lambda: sorted(done) == ids, "a thread is left for the last one")
    assert "broke off" in caplog.text


class Away:
    """Leases whose database is away for the first questions."""

    def __init__(self, leases, times):
        self._leases, self._times = leases, times
        self.asked = 0

    def __getattr__(self, name):
        return getattr(self._leases, name)

    def claim_next(self, without=()):
        self.asked += 1
        if self.asked <= self._times:
            raise CatalogueUnavailable("gone for tea")
        return self._leases.claim_next(without)


def test_a_database_that_is_away_is_waited_for(make_engine, announce, leases, done, until):
    copy_id, away = announce(), Away(leases, 6)
    make_engine(done, leases=away, outage=0.01).start()
    until(lambda: done.ids == [copy_id], "it is archived once the database is back")
    assert away.asked > 6


def test_a_task_that_fails_stops_neither_the_other_tasks_nor_the_work(make_engine, announce, done, until):
    did, copy_id = threading.Event(), announce()
    tasks = [PeriodicTask("Failing", 60, lambda: 1 / 0), PeriodicTask("Working", 60, did.set)]
    make_engine(done, tasks=tasks).start()
    assert did.wait(10)
    until(lambda: done.ids == [copy_id], "it is archived")


# --- Stopping ---------------------------------------------------------------------------------------------------------


class Work:
    """A copy in work: held until it may go on, or is told to let go."""

    def __init__(self, leases):
        self.leases = leases
        self.heartbeat = Heartbeat(leases)
        self.began, self.go_on = threading.Event(), threading.Event()
        self.ended = []

    def __call__(self, claim):
        with self.heartbeat.holding(claim) as held:
            self.began.set()
            while not self.go_on.wait(0.005):
                if held.lost():
                    self.ended.append("let go")
                    raise LeaseLost("told to stop")
            self.leases.failed(held.claim, "done, in a way")
            self.ended.append("finished")


def test_a_copy_in_work_gets_its_time_to_finish(make_engine, announce, leases, row_of):
    copy_id, work = announce(), Work(leases)
    engine = make_engine(work, heartbeat=work.heartbeat)
    engine.start()
    assert work.began.wait(10)
    threading.Timer(0.2, work.go_on.set).start()
    engine.stop(timeout=10)
    assert work.ended == ["finished"]
    assert row_of(copy_id)["state"] == "failed"


def test_one_that_takes_longer_is_given_back_and_taken_over_at_once(make_engine, announce, leases, done, row_of, until):
    copy_id, work = announce(), Work(leases)
    engine = make_engine(work, heartbeat=work.heartbeat)
    engine.start()
    assert work.began.wait(10)
    engine.stop(timeout=0.1)
    until(lambda: work.ended == ["let go"], "the work hears it")
    assert (row_of(copy_id)["state"], row_of(copy_id)["attempts"]) == ("pending", 0)
    make_engine(done).start()
    until(lambda: done.ids == [copy_id], "another worker takes it")


def test_stopping_does_not_wait_for_threads_that_sleep(make_engine, until):
    bell = Bell()
    engine = make_engine(bell=bell)
    engine.start()
    until(lambda: bell.asleep == 2, "both threads sleep")
    engine.stop(timeout=20)
    assert not [thread.name for thread in engine._running if thread.is_alive()]


def test_stopping_twice_or_before_a_start_is_fine(make_engine):
    engine = make_engine()
    engine.stop()
    engine.start()
    engine.stop()
    engine.stop()
