"""Leases are kept while the work runs, and let go when it must not go on."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest

from recordings.archive.heartbeat import Heartbeat
from recordings.catalogue.leases import Leases
from recordings.errors import CatalogueUnavailable, LeaseLost


class Away(Leases):
    """Leases whose database is away while `away` is true; `renew` raises `odd`, where that is set."""

    away = False
    odd = None

    def renew(self, tokens):
        if self.odd:
            raise self.odd
        self._check()
        return super().renew(tokens)

    def give_back(self, claim):
        self._check()
        return super().give_back(claim)

    def retry_later(self, *args, **kwargs):
        self._check()
        super().retry_later(*args, **kwargs)

    def _check(self):
        if self.away:
            raise CatalogueUnavailable("The database cannot be used right now: away.")


@pytest.fixture
def leases(database, clock):
    return Away(database, lease=3600, clock=clock)  # by itself it beats each 20 minutes: never within a test


class HandTicks:
    """A clock of seconds that stands still until it is moved."""

    now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def ticks():
    return HandTicks()


@pytest.fixture
def heartbeat(leases, ticks):
    running = Heartbeat(leases, backoff=lambda attempts: 10.0 * attempts, ticks=ticks)
    yield running
    running.release_all()


def test_a_beat_renews_what_is_held_and_nothing_else(heartbeat, leases, new_copy, row_of, clock):
    held, other = leases.claim(new_copy()), leases.claim(new_copy())
    with heartbeat.holding(held):
        clock.move(1000)
        heartbeat.beat()
        assert row_of(held.copy_id)["due_at"] == clock() + timedelta(seconds=3600)
        assert row_of(other.copy_id)["due_at"] == clock() + timedelta(seconds=2600)
    clock.move(1000)
    heartbeat.beat()
    assert row_of(held.copy_id)["due_at"] == clock() + timedelta(seconds=2600)


def test_only_the_work_whose_lease_was_lost_is_stopped(heartbeat, leases, new_copy, clock):
    lost, held = leases.claim(new_copy()), leases.claim(new_copy())
    with heartbeat.holding(lost) as one, heartbeat.holding(held) as other:
        heartbeat.beat()
        assert not one.lost()
        clock.move(3601)
        assert leases.claim(lost.copy_id) is not None
        heartbeat.beat()
        assert one.lost()
        assert not other.lost()


def test_a_database_that_is_away_stops_nothing(heartbeat, leases, new_copy, caplog):
    with heartbeat.holding(leases.claim(new_copy())) as held:
        leases.away = True
        heartbeat.beat()
        assert not held.lost()
        assert "the work goes on" in caplog.text
        leases.away = False
        heartbeat.beat()
        assert not held.lost()


@pytest.mark.parametrize("error", [RuntimeError("odd"), KeyError("driver"), NotImplementedError()])
def test_no_error_of_the_driver_ends_the_renewing(heartbeat, leases, new_copy, row_of, clock, caplog, error):
    claim = leases.claim(new_copy())
    with heartbeat.holding(claim) as held:
        leases.odd = error
        heartbeat.beat()
        assert "nobody foresaw; the work goes on" in caplog.text
        leases.odd = None
        clock.move(1000)
        heartbeat.beat()
        assert not held.lost()
        assert row_of(claim.copy_id)["due_at"] == clock() + timedelta(seconds=3600)


# --- Progress ---------------------------------------------------------------------------------------------------------


def test_work_that_moves_nothing_for_ten_leases_is_let_go(heartbeat, leases, new_copy, row_of, clock, ticks, caplog):
    hanging, other = leases.claim(new_copy()), leases.claim(new_copy())
    with heartbeat.holding(hanging), heartbeat.holding(other) as moving:
        for _ in range(9):
            clock.move(3600)
            ticks.now += 3600
            heartbeat.beat()
        assert row_of(hanging.copy_id)["token"] == hanging.token
        assert not moving.lost()  # it asks: that is a step
        clock.move(3600)
        ticks.now += 3600
        heartbeat.beat()
        row = row_of(hanging.copy_id)
        assert (row["state"], row["token"]) == ("waiting", None)
        assert row["due_at"] == clock() + timedelta(seconds=10)
        assert "moved nothing for 36000 s at attempt 1" in row["error"]
        assert row["error"] in caplog.text
        assert row_of(other.copy_id)["token"] == other.token


def test_work_that_was_let_go_hears_it_and_its_outcome_does_not_count(heartbeat, leases, new_copy, ticks):
    claim = leases.claim(new_copy())
    with heartbeat.holding(claim) as held:
        ticks.now += 36000
        heartbeat.beat()
        with pytest.raises(LeaseLost):
            held.check()
        with pytest.raises(LeaseLost):
            leases.failed(claim, "late")


def test_a_slow_transfer_that_moves_is_never_let_go(heartbeat, leases, new_copy, row_of, clock, ticks):
    claim = leases.claim(new_copy())
    with heartbeat.holding(claim) as held:
        for _ in range(50):
            clock.move(3500)
            ticks.now += 3500
            assert not held.lost()
            heartbeat.beat()
        assert row_of(claim.copy_id)["token"] == claim.token


def test_work_that_hangs_while_the_database_is_away_loses_its_lease_by_time(
    heartbeat, leases, new_copy, clock, ticks, caplog
):
    claim = leases.claim(new_copy())
    with heartbeat.holding(claim):
        leases.away = True
        ticks.now += 36000
        heartbeat.beat()
        assert "will run out by itself" in caplog.text
        leases.away = False
        heartbeat.beat()
        clock.move(3601)
        assert leases.claim(claim.copy_id) is not None


# --- Ends -------------------------------------------------------------------------------------------------------------


def test_a_lease_is_let_go_when_its_work_fails(heartbeat, leases, new_copy, row_of, clock):
    claim = leases.claim(new_copy())
    with pytest.raises(ZeroDivisionError), heartbeat.holding(claim):
        raise ZeroDivisionError
    before = row_of(claim.copy_id)
    clock.move(100)
    heartbeat.beat()
    assert row_of(claim.copy_id) == before


def test_at_the_end_every_lease_is_given_back_and_its_work_is_stopped(leases, new_copy, row_of, clock):
    heartbeat, claim, ended = Heartbeat(leases), leases.claim(new_copy()), leases.claim(new_copy())
    with heartbeat.holding(ended):
        pass
    with heartbeat.holding(claim) as held:
        assert heartbeat.release_all(timeout=0) == [claim.copy_id]
        assert held.lost()
        assert row_of(claim.copy_id)["state"] == "pending"
    assert leases.claim(claim.copy_id).attempts == 1
    assert row_of(ended.copy_id)["state"] == "fetching"
    assert heartbeat.release_all() == []


def test_the_end_does_not_take_what_is_another_workers_already(leases, new_copy, clock, row_of):
    heartbeat, claim = Heartbeat(leases), leases.claim(new_copy())
    with heartbeat.holding(claim):
        clock.move(3601)
        successor = leases.claim(claim.copy_id)
        assert heartbeat.release_all(timeout=0) == []
    assert row_of(claim.copy_id)["token"] == successor.token


def test_the_end_waits_a_moment_for_work_that_hears_it(leases, new_copy):
    heartbeat, began = Heartbeat(leases), threading.Event()

    def work():
        with heartbeat.holding(leases.claim(copy_id)) as held:
            began.set()
            while not held.lost():
                began.wait(0.001)

    copy_id = new_copy()
    worker = threading.Thread(target=work)
    worker.start()
    assert began.wait(10)
    assert heartbeat.release_all(timeout=10) == [copy_id]
    worker.join(10)
    assert not worker.is_alive()


def test_the_end_bears_a_database_that_is_away_and_asks_it_once_for_all_leases(leases, new_copy, caplog):
    heartbeat = Heartbeat(leases)
    with heartbeat.holding(leases.claim(new_copy())) as first, heartbeat.holding(leases.claim(new_copy())) as second:
        leases.away = True
        assert heartbeat.release_all(timeout=0) == []
        assert first.lost()
        assert second.lost()
    assert caplog.text.count("each will run out by itself") == 1
    assert "2 leases could not be given back" in caplog.text


def test_it_beats_by_itself_within_a_third_of_the_lease(database, new_copy, row_of, until):
    leases = Leases(database, lease=0.3)  # by the real clock
    heartbeat, copy_id = Heartbeat(leases), new_copy()
    with heartbeat.holding(leases.claim(copy_id)):
        first = row_of(copy_id)["due_at"]
        until(lambda: row_of(copy_id)["due_at"] > first, "the lease is renewed by itself")
    heartbeat.release_all()


def test_no_thread_runs_before_the_first_claim(leases):
    before = threading.active_count()
    heartbeat = Heartbeat(leases)
    heartbeat.beat()
    assert threading.active_count() == before


def test_a_heart_that_found_no_thread_begins_with_the_next_claim(database, new_copy, row_of, until, without_threads):
    leases = Leases(database, lease=0.3)  # by the real clock
    heartbeat, (first, second) = Heartbeat(leases), (leases.claim(new_copy()), leases.claim(new_copy()))
    with without_threads(), pytest.raises(RuntimeError), heartbeat.holding(first):
        pass
    with heartbeat.holding(second):
        due = row_of(second.copy_id)["due_at"]
        until(lambda: row_of(second.copy_id)["due_at"] > due, "the lease is renewed by itself")
    heartbeat.release_all()
    assert row_of(first.copy_id)["state"] == "fetching"  # nobody holds it: its lease runs out
