"""Every process sees which workers live, also those of other hosts."""

from __future__ import annotations

from sqlalchemy import select

from recordings.catalogue.tables import workers
from recordings.catalogue.workers import Workers


def test_a_worker_that_gave_a_sign_of_life_is_seen_by_all_for_a_minute(make_database, database, clock):
    worker, web = Workers(database, clock=clock), Workers(make_database(), clock=clock)
    assert web.living() == 0
    worker.sign()
    assert web.living() == 1
    clock.move(59)
    assert web.living() == 1
    clock.move(2)
    assert web.living() == 0
    worker.sign()
    assert web.living() == 1


def test_a_worker_counts_once_and_is_gone_when_it_leaves(database, clock):
    one, other = (Workers(database, clock=clock) for _ in range(2))
    for _ in range(3):
        one.sign()
        other.sign()
    assert one.living() == 2
    one.leave()
    assert other.living() == 1


def test_workers_that_are_gone_for_a_day_are_forgotten(database, clock):
    Workers(database, clock=clock).sign()
    clock.move(86401)
    Workers(database, clock=clock).sign()
    with database.read() as connection:
        assert len(connection.execute(select(workers)).all()) == 1
