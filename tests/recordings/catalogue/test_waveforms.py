"""Which recording is measured next, how often, and by how many workers."""

from __future__ import annotations

import pytest
from sqlalchemy import update

from recordings.catalogue.tables import copies, waveforms
from recordings.catalogue.waveforms import MOST_ATTEMPTS, Measured, Waveforms, measured
from recordings.model import Waveform

STORAGES = ["file:///tapes"]
WAVEFORM = Waveform(1.5, 2, 8000, 3, b"\x01\x02\x03\x7f\x00\x05")
MINUTE = 60


@pytest.fixture
def table(database, clock):
    return Waveforms(database, clock=clock)


@pytest.fixture
def store(database, new_copy):
    """`store()`: a recording whose copy is stored; its row."""

    def make(state="stored", **changes):
        copy_id = new_copy(**changes)
        with database.write() as connection:
            statement = update(copies).where(copies.c.id == copy_id).values(state=state, due_at=None, key="a", size=1)
            return connection.execute(statement.returning(copies.c.recording_id)).scalar_one()

    return make


def test_the_newest_comes_first_and_each_once(table, store):
    ids = [store() for _ in range(4)]
    claims = list(iter(lambda: table.take(STORAGES), None))
    assert [claim.recording_id for claim in claims] == ids[::-1]
    assert {claim.attempts for claim in claims} == {1}
    ids.append(store())
    assert table.take(STORAGES).recording_id == ids[-1]


def test_what_no_configured_storage_holds_is_not_measured(table, store):
    store(state="waiting")
    store()
    assert table.take(["gs://former"]) is None
    assert table.take([]) is None
    assert table.take(STORAGES) is not None
    assert table.take(STORAGES) is None


def test_an_old_recording_that_is_stored_late_is_found_after_some_looks(database, clock, store):
    table = Waveforms(database, clock=clock, span=2)
    late = store(state="waiting")
    for _ in range(9):
        store(state="waiting")
    for _ in range(7):
        assert table.take(STORAGES) is None
    with database.write() as connection:
        connection.execute(update(copies).where(copies.c.recording_id == late).values(state="stored"))
    looks = [table.take(STORAGES) for _ in range(7)]
    assert [claim.recording_id for claim in looks if claim] == [late]


def test_archiving_comes_first(clock, table, store, new_copy, leases):
    recording_id = store()
    new_copy()
    assert table.take(STORAGES) is None
    claim = leases.claim_next()
    assert table.take(STORAGES) is None
    leases.failed(claim, "404")
    assert table.take(STORAGES).recording_id == recording_id


def test_copies_that_nobody_archives_hold_no_waveform_up(clock, table, store, new_copy):
    recording_id = store()
    new_copy()
    clock.move(2 * MINUTE)
    assert table.take(STORAGES).recording_id == recording_id


def test_archiving_without_a_pause_holds_waveforms_up_for_a_minute(clock, table, store, new_copy):
    recording_id = store()
    for _ in range(6):
        new_copy()
        assert table.take(STORAGES) is None
        clock.move(MINUTE / 6)
    new_copy()
    assert table.take(STORAGES).recording_id == recording_id


def test_two_workers_never_measure_the_same(make_database, clock, database, store):
    first, second = Waveforms(database, clock=clock), Waveforms(make_database(), clock=clock)
    ids = {store() for _ in range(6)}
    claimed = [worker.take(STORAGES).recording_id for _ in range(3) for worker in (first, second)]
    assert set(claimed) == ids


def test_a_waveform_reads_back_as_it_was_made(database, table, store):
    recording_id = store()
    assert measured(database, recording_id) == Measured(None, None)
    table.made(table.take(STORAGES), WAVEFORM)
    assert measured(database, recording_id) == Measured(WAVEFORM)
    assert table.take(STORAGES) is None


def test_a_failure_is_tried_three_times_with_its_reason_kept(database, clock, table, store):
    recording_id = store()
    for attempt, pause in ((1, 15 * MINUTE), (2, 6 * 60 * MINUTE), (3, None)):
        claim = table.take(STORAGES)
        assert claim.attempts == attempt
        assert table.failed(claim, f"reason {attempt}") is (pause is not None)
        assert measured(database, recording_id) == Measured(error=f"reason {attempt}")
        if pause:
            clock.move(pause - 1)
            assert table.take(STORAGES) is None
            clock.move(1)
    clock.move(1e8)
    assert table.take(STORAGES) is None


def test_what_cannot_be_decoded_is_tried_once(database, clock, table, store):
    recording_id = store()
    assert table.failed(table.take(STORAGES), "no audio", final=True) is False
    clock.move(1e8)
    assert table.take(STORAGES) is None
    assert measured(database, recording_id).error == "no audio"


def test_a_success_after_a_failure_forgets_the_error(database, clock, table, store):
    recording_id = store()
    table.failed(table.take(STORAGES), "the store was away")
    clock.move(15 * MINUTE)
    table.made(table.take(STORAGES), WAVEFORM)
    assert measured(database, recording_id) == Measured(WAVEFORM)


def test_audio_that_kills_its_worker_each_time_is_given_up(database, clock, table, store):
    recording_id = store()
    attempts = 0
    for _ in range(10):
        attempts += table.take(STORAGES) is not None
        clock.move(31 * MINUTE)
    assert attempts == MOST_ATTEMPTS
    assert "at each attempt" in measured(database, recording_id).error


def test_an_attempt_that_the_end_of_its_process_broke_off_does_not_count(clock, table, store):
    store()
    for _ in range(5):
        claim = table.take(STORAGES)
        assert claim.attempts == 1
        table.give_back(claim)


def test_a_worker_that_was_too_slow_changes_nothing_of_its_successors_work(database, clock, table, store):
    recording_id = store()
    slow = table.take(STORAGES)
    clock.move(31 * MINUTE)
    table.made(table.take(STORAGES), WAVEFORM)
    table.failed(slow, "too late")
    table.give_back(slow)
    assert measured(database, recording_id) == Measured(WAVEFORM)
    with database.read() as connection:
        assert connection.execute(waveforms.select()).one().due_at is None
