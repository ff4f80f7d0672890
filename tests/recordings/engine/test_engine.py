"""The engine: what is announced is looked at, what nobody speaks for is swept up, and stopping loses nothing."""

from __future__ import annotations

import subprocess
import sys
import threading
from functools import partial

import pytest

from recordings.archive.failures import RetryPolicy
from recordings.archive.heartbeat import Heartbeat
from recordings.catalogue.leases import Leases
from recordings.engine.engine import Engine
from recordings.engine.queues import make_queue
from recordings.errors import CatalogueUnavailable, LeaseLost

HOLD_THE_LOCK = """
import fcntl, sys
handle = open(sys.argv[1], "w")
fcntl.flock(handle, fcntl.LOCK_EX)
print("held", flush=True)
sys.stdin.read()
"""


class Away:
    """A queue that is away until it is `mended`; `tried` counts who wanted it."""

    def __init__(self, url):
        self.url = url
        self.mended = False
        self.tried = 0

    def __call__(self):
        self.tried += 1
        if not self.mended:
            raise ConnectionError("nobody listens there")
        return make_queue(self.url)


@pytest.fixture
def leases(database):
    return Leases(database)  # by the real clock, as the engine's threads run by it


@pytest.fixture
def queue_url(tmp_path):
    return f"sqlite:///{tmp_path}/queue.db"


@pytest.fixture
def make_engine(leases, queue_url):
    """`make_engine(archive, **more)`: an engine over one queue file; all are stopped at the end."""
    made = []

    def make(archive=lambda copy_id: None, *, queue=None, heartbeat=None, **more):
        beat = heartbeat or Heartbeat(leases)
        engine = Engine(
            queue or partial(make_queue, queue_url), archive, leases, beat, RetryPolicy(), threads=2, **more
        )
        made.append(engine)
        return engine

    yield make
    for engine in made:
        engine.stop(timeout=2)
        if engine._huey is not None:
            engine._huey.storage.close()


@pytest.fixture
def new_ids(new_copy, clock):
    """`new_ids(n)`: copies announced a while ago, which are due by now."""

    def make(n):
        return [new_copy() for _ in range(n)]

    return make


# --- Doing ------------------------------------------------------------------------------------------------------------


def test_what_is_dispatched_is_looked_at(make_engine, until):
    done = []
    engine = make_engine(done.append)
    engine.dispatch(7)
    assert done == []  # nothing runs before the start
    engine.start()
    until(lambda: done == [7], "the copy is looked at")


def test_what_is_announced_is_looked_at_without_waiting(make_engine, until):
    done = []
    engine = make_engine(done.append)
    engine.start()
    for n in range(20):
        engine.announce(n)
    until(lambda: sorted(done) == list(range(20)), "all are looked at")


def test_a_hint_wakes_a_worker_that_sleeps_and_work_wakes_the_others(make_engine, until, monkeypatch):
    monkeypatch.setattr("recordings.engine.queues._POLLS", (3600, 3600))
    meeting, done = threading.Barrier(2), []

    def archive(copy_id):
        meeting.wait(10)  # each of two copies needs a thread of its own
        done.append(copy_id)

    engine = make_engine(archive)
    engine.start()
    until(lambda: engine._consumer and engine._consumer.asleep == 2, "both threads found nothing")
    engine.announce(1)
    engine.announce(2)
    until(lambda: sorted(done) == [1, 2], "both were woken")


def test_stopping_does_not_wait_for_those_who_sleep(make_engine, until, monkeypatch):
    monkeypatch.setattr("recordings.engine.queues._POLLS", (3600, 3600))
    engine = make_engine()
    engine.start()
    until(lambda: engine._consumer and engine._consumer.asleep == 2, "both threads sleep")
    engine.stop(timeout=20)
    assert not any(thread.is_alive() for _, thread in engine._consumer.worker_threads)


def test_a_job_that_breaks_off_ends_no_thread(make_engine, until, caplog):
    done = []

    def archive(copy_id):
        if copy_id < 4:
            raise RuntimeError("nobody foresaw this")
        done.append(copy_id)

    engine = make_engine(archive)
    engine.start()
    for copy_id in range(5):
        engine.announce(copy_id)
    until(lambda: done == [4], "a thread is left for the last one")
    assert "nobody foresaw this" in caplog.text


def test_another_process_may_announce(make_engine, until):
    done = []
    web, worker = make_engine(), make_engine(done.append)
    worker.start()
    web.announce(7)
    until(lambda: done == [7], "the worker looks at what the web process announced")


def test_nothing_runs_and_nothing_is_opened_before_the_first_use(make_engine, tmp_path):
    before = threading.active_count()
    make_engine()
    assert threading.active_count() == before
    assert not (tmp_path / "queue.db").exists()


def test_a_copy_waits_in_its_thread_for_a_database_that_is_away(make_engine, until, monkeypatch):
    monkeypatch.setattr("recordings.engine.engine._DATABASE_SECONDS", 0.01)
    tried = []

    def archive(copy_id):
        tried.append(copy_id)
        if len(tried) < 3:
            raise CatalogueUnavailable("gone for tea")

    engine = make_engine(archive)
    engine.dispatch(7)
    engine.start()
    until(lambda: tried == [7, 7, 7], "the copy is looked at once the database is back")


# --- The sweep --------------------------------------------------------------------------------------------------------


def test_the_sweep_finds_what_no_message_speaks_for(make_engine, new_ids, until):
    ids, done = new_ids(3), []
    engine = make_engine(done.append)
    engine.start()  # wakes what is pending, then sweeps
    until(lambda: set(done) == set(ids), "all three are looked at")


def test_a_sweep_gives_each_copy_out_once(make_engine, new_ids, leases):
    new_ids(3)
    leases.wake()
    one, other = make_engine(), make_engine()
    assert (one.sweep(), other.sweep(), one.sweep()) == (3, 0, 0)


def test_a_full_queue_gets_nothing_more(make_engine, new_ids, leases, monkeypatch):
    monkeypatch.setattr("recordings.engine.engine._BACKLOG", 3)
    new_ids(5)
    leases.wake()
    engine = make_engine()
    assert (engine.sweep(), engine.sweep()) == (3, 0)


def test_chores_are_done_with_the_sweep_and_stop_nothing(make_engine, new_ids, until):
    ids, done, chores = new_ids(1), [], threading.Event()

    def upkeep():
        chores.set()
        raise ZeroDivisionError

    engine = make_engine(done.append, upkeep=upkeep)
    engine.start()
    assert chores.wait(10)
    until(lambda: set(done) == set(ids), "the copy is looked at all the same")


# --- A queue that is away ---------------------------------------------------------------------------------------------


def test_announcing_neither_waits_nor_raises_while_the_queue_is_away(make_engine, queue_url, until, caplog):
    queue = Away(queue_url)
    engine = make_engine(queue=queue, ticks=lambda: 0.0)
    for n in range(50):
        engine.announce(n)
    until(lambda: "nothing is lost" in caplog.text, "the trouble is told")
    engine.stop(timeout=1)
    assert caplog.text.count("The queue cannot be used") == 1  # once, not for each copy


def test_dispatching_tells_the_drivers_own_error(make_engine, queue_url):
    engine = make_engine(queue=Away(queue_url))
    with pytest.raises(ConnectionError, match="nobody listens"):
        engine.dispatch(7)


def test_a_sweep_without_a_queue_gives_nothing_out_and_the_next_one_does(make_engine, new_ids, leases, queue_url):
    new_ids(3)
    leases.wake()
    queue = Away(queue_url)
    engine = make_engine(queue=queue)
    assert engine.sweep() == 0
    queue.mended = True
    assert engine.sweep() == 3


def test_what_a_queue_did_not_take_in_a_sweep_is_due_again_soon(make_engine, new_ids, leases, queue_url):
    new_ids(4)
    leases.wake()
    queue = make_queue(queue_url)
    engine = make_engine(queue=lambda: queue)
    engine.dispatch(7)
    queue.storage.sql("DROP TABLE task")
    queue.storage.sql("CREATE TABLE task (queue TEXT CHECK (0), data, priority, id)")  # readable, and takes nothing
    assert engine.sweep() == 0
    assert not leases.due()
    assert leases.due_within(6)


def test_a_worker_waits_for_its_queue(make_engine, queue_url, until, monkeypatch):
    monkeypatch.setattr("recordings.engine.engine._OUTAGE_SECONDS", 0.01)
    done, queue = [], Away(queue_url)
    engine = make_engine(done.append, queue=queue)
    engine.start()
    until(lambda: queue.tried > 3, "it tries again and again")
    queue.mended = True
    engine.dispatch(7)
    until(lambda: done == [7], "it works once the queue is there")


# --- Stopping ---------------------------------------------------------------------------------------------------------


class Work:
    """One copy in work: claimed and held, until it is told to go on or to let go."""

    def __init__(self, leases):
        self.leases = leases
        self.heartbeat = Heartbeat(leases)
        self.began, self.go_on = threading.Event(), threading.Event()
        self.ended = []

    def __call__(self, copy_id):
        claim = self.leases.claim(copy_id)
        if claim is None:  # the sweep spoke for it, too
            return
        with self.heartbeat.holding(claim) as held:
            self.began.set()
            while not self.go_on.wait(0.005):
                if held.lost():
                    self.ended.append("let go")
                    raise LeaseLost("told to stop")
            self.leases.failed(held.claim, "done, in a way")
            self.ended.append("finished")


def test_a_running_copy_gets_its_time_to_finish(make_engine, new_ids, leases, row_of):
    (copy_id,), work = new_ids(1), Work(leases)
    engine = make_engine(work, heartbeat=work.heartbeat)
    engine.dispatch(copy_id)
    engine.start()
    assert work.began.wait(10)
    threading.Timer(0.2, work.go_on.set).start()
    engine.stop(timeout=10)
    assert work.ended == ["finished"]
    assert row_of(copy_id)["state"] == "failed"


def test_one_that_takes_longer_is_given_back_and_taken_over_at_once(make_engine, new_ids, leases, row_of, until):
    (copy_id,), work, done = new_ids(1), Work(leases), []
    engine = make_engine(work, heartbeat=work.heartbeat)
    engine.dispatch(copy_id)
    engine.start()
    assert work.began.wait(10)
    engine.stop(timeout=0.1)
    until(lambda: work.ended == ["let go"], "the work hears it")
    assert (row_of(copy_id)["state"], row_of(copy_id)["attempts"]) == ("pending", 0)
    make_engine(done.append).start()
    until(lambda: set(done) == {copy_id}, "another worker takes it")  # more than one message may speak for it


def test_stopping_twice_or_before_a_start_is_fine(make_engine):
    engine = make_engine()
    engine.stop()
    engine.start()
    engine.stop()
    engine.stop()


def test_what_was_announced_just_before_the_end_reaches_the_queue(make_engine, until):
    done = []
    web = make_engine()
    web.announce(7)
    web.stop()
    make_engine(done.append).start()
    until(lambda: done == [7], "the next worker looks at it")


# --- One embedded worker a machine ------------------------------------------------------------------------------------


def test_of_two_engines_one_works(make_engine, tmp_path, until):
    done = {"a": [], "b": []}
    engines = [make_engine(done["a"].append), make_engine(done["b"].append)]
    for engine in engines:
        engine.start_embedded(tmp_path / "deep" / "lock")
    for n in range(20):
        engines[n % 2].announce(n)
    until(lambda: len(done["a"] + done["b"]) == 20, "all are looked at")
    assert [] in done.values()


def test_whoever_waits_takes_over_when_the_other_dies(make_engine, tmp_path, until):
    lock, done = tmp_path / "lock", []
    command = [sys.executable, "-c", HOLD_THE_LOCK, str(lock)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout.readline() == "held\n"
        engine = make_engine(done.append)
        engine.start_embedded(lock)
        engine.dispatch(7)
        waiting = threading.Event()
        waiting.wait(0.3)
        assert done == []
        other.kill()
    until(lambda: done == [7], "the engine takes over")


def test_one_that_waits_for_the_lock_can_be_stopped(make_engine, tmp_path, until):
    one, other = make_engine(), make_engine()
    one.start_embedded(tmp_path / "lock")
    other.start_embedded(tmp_path / "lock")
    other.stop()
    until(lambda: _embedded_threads() <= 1, "its thread ends")


def _embedded_threads():
    return sum(thread.name == "tapekeeper-embedded" for thread in threading.enumerate())
