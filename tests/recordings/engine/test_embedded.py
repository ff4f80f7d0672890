"""Of the web processes of one machine one archives, and a lock that cannot be used keeps nobody from it."""

from __future__ import annotations

import subprocess
import sys
import threading
from datetime import timedelta

import pytest
from sqlalchemy import update

from recordings.catalogue.schedule import Schedule
from recordings.catalogue.tables import copies
from recordings.catalogue.workers import Workers
from recordings.clock import utc_now
from recordings.engine.embedded import EmbeddedWorker
from recordings.engine.supervisor import Supervisor

HOLD_THE_LOCK = """
import fcntl, sys
handle = open(sys.argv[1], "w")
fcntl.flock(handle, fcntl.LOCK_EX)
print("held", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def make_embedded(make_engine, database):
    """`make_embedded(done, lock)`: an embedded worker over an engine of its own, not started."""

    def make(done, lock, **more):
        parts = Supervisor(pause=0.01), Workers(database), Schedule(database)
        return EmbeddedWorker(make_engine(done), *parts, lock=lock, **{"look": 0.02} | more)

    return make


@pytest.fixture
def held(tmp_path):
    """A lock file that another process holds; `held.kill()` ends that process."""
    command = [sys.executable, "-c", HOLD_THE_LOCK, str(tmp_path / "lock")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout.readline() == "held\n"
        yield other
        other.kill()


def test_of_two_with_one_lock_one_works(make_embedded, announce, make_done, tmp_path, until):
    one, other = make_done(), make_done()
    for done in (one, other):
        make_embedded(done, tmp_path / "deep" / "lock").start()
    ids = [announce() for _ in range(20)]
    until(lambda: sorted(one.ids + other.ids) == ids, "all are archived")
    assert [] in (one.ids, other.ids)


def test_it_takes_over_when_the_process_that_holds_the_lock_dies(
    make_embedded, announce, done, held, tmp_path, until, caplog
):
    caplog.set_level("INFO")
    copy_id = announce()
    make_embedded(done, tmp_path / "lock", where="into the attic").start()
    until(lambda: "stands by: another one holds" in caplog.text, "it waits, and says so")
    assert done.ids == []
    held.kill()
    until(lambda: done.ids == [copy_id], "it takes over")
    assert "Archiving in this process" in caplog.text
    assert "into the attic" in caplog.text


def test_one_that_waits_for_the_lock_can_be_stopped(make_engine, make_embedded, done, held, tmp_path, until):
    embedded = make_embedded(done, tmp_path / "lock")
    embedded.start()
    until(lambda: embedded_threads() == 1, "it waits")
    embedded._engine.stop()
    until(lambda: embedded_threads() == 0, "its thread ends")


def test_without_a_lock_every_process_archives(make_embedded, announce, done, until):
    make_embedded(done, None).start()
    copy_id = announce()
    until(lambda: done.ids == [copy_id], "it is archived")


@pytest.mark.parametrize("fault", ["a folder", "a file in place of the folder", "a dangling link"])
def test_a_lock_that_cannot_be_opened_is_logged_and_archiving_starts_all_the_same(
    make_embedded, announce, done, tmp_path, until, caplog, fault
):
    lock = tmp_path / "there" / "lock"
    if fault == "a folder":
        lock.mkdir(parents=True)
    elif fault == "a dangling link":
        lock.parent.mkdir()
        lock.symlink_to(tmp_path / "nowhere" / "lock")
    else:
        lock.parent.touch()
    copy_id = announce()
    make_embedded(done, lock).start()
    until(lambda: done.ids == [copy_id], "it is archived")
    assert f"The file {lock}, by which the web processes agree who archives, cannot be opened" in caplog.text
    assert "delete it" in caplog.text


def overdue(database):
    """Let every copy have been due for an hour."""
    with database.write() as connection:
        connection.execute(update(copies).values(due_at=utc_now() - timedelta(hours=1)))


def test_a_stranger_who_holds_the_lock_is_named_and_passed_by_when_copies_wait(
    make_embedded, announce, database, done, held, tmp_path, until, caplog
):
    copy_id = announce()
    overdue(database)
    make_embedded(done, tmp_path / "lock", patience=0.1).start()
    until(lambda: done.ids == [copy_id], "it is archived")
    assert f"A process that does not archive holds {tmp_path}/lock, and copies that are due wait." in caplog.text


def test_a_worker_that_holds_the_lock_and_archives_nothing_is_a_problem(
    make_embedded, announce, database, done, held, tmp_path, until, caplog
):
    Workers(database).sign()
    announce()
    overdue(database)
    embedded = make_embedded(done, tmp_path / "lock", patience=0.1)
    embedded.start()
    until(lambda: embedded.problem, "it is known")
    assert f"Another process holds {tmp_path}/lock" in caplog.text
    assert done.ids == []
    held.kill()
    until(lambda: done.ids, "it takes over")
    assert embedded.problem is None


def test_a_process_that_holds_the_lock_and_has_nothing_to_do_is_no_problem(make_embedded, done, held, tmp_path):
    embedded = make_embedded(done, tmp_path / "lock", patience=0.05)
    embedded.start()
    assert not threading.Event().wait(0.3)
    assert embedded.problem is None
    assert embedded_threads() == 1


def embedded_threads():
    return sum(thread.name == "tapekeeper-embedded" for thread in threading.enumerate())


class Crowded(Supervisor):
    """At first it gives one thread only, as where a container's limit is reached."""

    given = 0

    def start(self, name, run):
        self.given += 1
        if self.given == 2:
            raise RuntimeError("can't start new thread")
        return super().start(name, run)


def test_an_engine_that_found_no_thread_is_started_again_whole(make_engine, database, announce, done, tmp_path, until):
    crowded = Crowded(pause=0.01)
    engine = make_engine(done, supervisor=crowded)
    parts = Supervisor(pause=0.01), Workers(database), Schedule(database)
    EmbeddedWorker(engine, *parts, lock=tmp_path / "lock", look=0.02).start()
    until(lambda: crowded.given == 5, "four threads run, and one start failed")
    copy_id = announce()
    until(lambda: done.ids == [copy_id], "it is archived")
