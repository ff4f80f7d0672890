"""Leases are kept while the work runs, and let go when it must not go on."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest

from recordings.archive.heartbeat import Heartbeat
from recordings.catalogue.leases import Leases
from recordings.errors import CatalogueUnavailable


class Away(Leases):
    """Leases whose database is away while `away` is true."""

    away = False

    def renew(self, tokens):
        self._check()
        return super().renew(tokens)

    def give_back(self, claim):
        self._check()
        return super().give_back(claim)

    def _check(self):
        if self.away:
            raise CatalogueUnavailable("The database cannot be used right now: away.")


@pytest.fixture
def leases(database, clock):
    return Away(database, lease=3600, clock=clock)  # by itself it beats each 20 minutes: never within a test


@pytest.fixture
def heartbeat(leases):
    running = Heartbeat(leases)
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


def test_the_end_bears_a_database_that_is_away(leases, new_copy, caplog):
    heartbeat = Heartbeat(leases)
    with heartbeat.holding(leases.claim(new_copy())) as held:
        leases.away = True
        assert heartbeat.release_all(timeout=0) == []
        assert held.lost()
    assert "will run out by itself" in caplog.text


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
