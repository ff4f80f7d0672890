"""The catalogue in numbers: all of one moment, on both databases, and never older than a minute and a half."""

from __future__ import annotations

import pytest
from sqlalchemy import func, select

from recordings.catalogue import stats
from recordings.catalogue.tables import copies
from recordings.model import State
from recordings.storage import PutResult
from tests.services.servers import database_url, postgres_server_url, postgres_url  # noqa: F401 - fixtures

TAPES = "file:///tapes"


def test_an_empty_catalogue(database):
    assert stats.count(database) == stats.CatalogueStats(stats.Totals(0), {})


@pytest.fixture
def five(leases, new_copy):
    """Five recordings: one stored, one failed, one in work, two that wait their turn."""
    ids = [new_copy(recording_uuid=f"r{n}") for n in range(5)]
    done = PutResult(100, "ab" * 32, True, "file:///tapes/k")
    leases.stored(leases.claim(ids[4]), key="k.mp3", content_type="audio/mpeg", result=done)
    leases.failed(leases.claim(ids[0]), "over")
    leases.claim(ids[1])
    return {(TAPES, State.FAILED): 1, (TAPES, State.FETCHING): 1, (TAPES, State.PENDING): 2, (TAPES, State.STORED): 1}


def test_copies_and_bytes_are_counted_by_storage_and_state(database, five, clock):
    counted = stats.totals(database, clock=clock)
    assert (counted.recordings, counted.copies, counted.age) == (5, five, 0)
    assert counted.bytes == {(TAPES, State.STORED): 100}


def test_what_a_worker_has_counted_is_read_for_as_long_as_it_is_fresh(database, five, clock, new_copy):
    assert stats.write_figures(database, clock=clock)
    written = stats.totals(database, few=0, clock=clock)
    new_copy()
    clock.move(stats.COUNTED_EVERY)
    read = stats.totals(database, few=0, clock=clock)
    assert (read.recordings, read.copies, read.bytes) == (5, five, written.bytes)
    assert read.age == stats.COUNTED_EVERY


def test_figures_that_no_worker_renews_are_counted_anew(database, five, clock, new_copy):
    stats.write_figures(database, clock=clock)
    new_copy()
    clock.move(91)
    assert stats.totals(database, few=0, clock=clock).recordings == 6
    assert stats.count(database, clock=clock).totals.age == 0


def test_of_several_workers_one_counts(database, five, clock, new_copy):
    assert stats.write_figures(database, clock=clock)
    assert not stats.write_figures(database, clock=clock)
    new_copy()
    clock.move(stats.COUNTED_EVERY)
    assert stats.write_figures(database, clock=clock)
    assert stats.totals(database, few=0, clock=clock).recordings == 6


def test_a_view_does_not_change_while_others_write(database, make_database, new_copy):
    new_copy(recording_uuid="before")
    number = select(func.count()).select_from(copies)
    with database.read() as connection:
        first = connection.execute(number).scalar_one()
        new_copy(recording_uuid="meanwhile")
        assert connection.execute(number).scalar_one() == first == 1
    with database.read() as connection:
        assert connection.execute(number).scalar_one() == 2
