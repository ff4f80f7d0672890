"""Each check knows the fault that it is for, and its message says what to do."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from recordings.care.checks import Archiving, Unusable, database_works, folder_of, room_left, storage_works, threads_run
from recordings.catalogue.schedule import Schedule
from recordings.catalogue.workers import Workers
from recordings.disk import MIB, Space, reserve_of
from recordings.errors import StorageUnavailable


@pytest.fixture
def archiving(database, clock):
    """`archiving()`: the check of the work; `clock` is its time, too."""
    schedule = Schedule(database, clock=clock)
    return Archiving(Workers(database, clock=clock), schedule, ticks=lambda: clock.now.timestamp())


def test_without_any_worker_nothing_is_archived_and_that_is_said_after_a_moment(archiving, database, clock):
    assert archiving().startswith("No worker was seen yet.")
    clock.move(31)
    with pytest.raises(Unusable, match=r"No worker gave a sign of life .* Start one: flask worker"):
        archiving()
    Workers(database, clock=clock).sign()
    assert archiving() is None


def test_a_restart_of_the_workers_is_no_problem(archiving, database, clock):
    for _ in range(3):
        worker = Workers(database, clock=clock)
        worker.sign()
        archiving()
        worker.leave()
        archiving()
        clock.move(29)


def test_a_copy_that_nobody_takes_for_ten_minutes_is_a_problem(
    archiving, database, clock, intake, delivery, announcement
):
    worker = Workers(database, clock=clock)
    intake.accept(delivery(), [announcement()])
    clock.move(600)
    worker.sign()
    archiving()
    clock.move(1)
    with pytest.raises(Unusable, match="due for more than 10 minutes"):
        archiving()


def test_what_keeps_the_own_worker_from_starting_is_said(database, clock):
    Workers(database, clock=clock).sign()
    schedule = Schedule(database, clock=clock)
    with pytest.raises(Unusable, match="Another process holds the lock"):
        Archiving(Workers(database, clock=clock), schedule, lambda: "Another process holds the lock.")()


def test_a_database_and_a_storage_that_work_are_no_problem(database, tmp_path):
    assert database_works(database) is None
    backend = SimpleNamespace(check=lambda: None)
    assert storage_works(f"file://{tmp_path}", backend) is None
    assert storage_works("s3://bucket", backend) is None


def test_the_folder_of_a_storage_is_where_the_backend_writes():
    assert str(folder_of("file:///srv/a%3Fb")) == "/srv/a?b"
    assert folder_of("gs://bucket/file") is None


@pytest.mark.parametrize(
    ("free", "total", "outcome"),
    [
        (601, 10_000, None),
        (599, 10_000, "warning"),
        (201, 10_000, "warning"),
        (199, 10_000, "problem"),
        (31_000, 1_000_000, None),
        (29_000, 1_000_000, "warning"),
        (9_000, 1_000_000, "problem"),
    ],
)
def test_a_disk_is_warned_of_well_before_its_reserve_is_reached(tmp_path, free, total, outcome):
    path = tmp_path / "not" / "there" / "yet"

    def space(known):
        assert known == tmp_path
        return Space(free * MIB, total * MIB)

    if outcome == "problem":
        with pytest.raises(StorageUnavailable, match="Free some space"):
            room_left(path, space=space)
    else:
        warned = room_left(path, space=space)
        assert (warned is not None) == (outcome == "warning")
        assert warned is None or "Free some space" in warned


def test_the_reserve_that_the_operator_asked_for_counts(tmp_path):
    small = Space(100 * MIB, 10_000 * MIB)
    assert room_left(tmp_path, reserve_of("10"), lambda known: small) is None
    with pytest.raises(StorageUnavailable):
        room_left(tmp_path, reserve_of("101"), lambda known: small)


def test_threads_that_broke_off_are_named_without_their_errors():
    threads_run({})
    with pytest.raises(Unusable, match="tapekeeper-worker-1") as caught:
        threads_run({"tapekeeper-worker-1": "RuntimeError: hunter2"})
    assert "hunter2" not in str(caught.value)
