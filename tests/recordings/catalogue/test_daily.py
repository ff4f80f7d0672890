"""Recordings by day and state, on both databases alike, and as the worker writes them down."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import update

from recordings.catalogue import stats
from recordings.catalogue.daily import recordings_by_day, recordings_since
from recordings.catalogue.tables import recordings
from recordings.model import State
from tests.services.servers import database_url, postgres_server_url, postgres_url  # noqa: F401 - fixtures

MIDNIGHT = datetime(2026, 11, 22, tzinfo=UTC)


@pytest.fixture
def came(database, intake, announcement, delivery):
    """`came(moment, state)`: a recording came at this moment and shows this state."""

    def come(moment, state=State.STORED):
        event = announcement()
        intake.accept(delivery(), [event])
        with database.write() as connection:
            its_row = update(recordings).where(recordings.c.recording_uuid == event.recording_uuid)
            connection.execute(its_row.values(received_at=moment, state=state.value))

    return come


def test_a_day_begins_at_midnight_in_utc(database, came):
    came(MIDNIGHT)
    came(MIDNIGHT - timedelta(microseconds=1), State.FAILED)
    came(MIDNIGHT + timedelta(hours=23, minutes=59))
    with database.read() as connection:
        days = recordings_by_day(connection, MIDNIGHT - timedelta(days=1))
        assert days == {
            MIDNIGHT.date(): {State.STORED: 2},
            MIDNIGHT.date() - timedelta(days=1): {State.FAILED: 1},
        }
        assert recordings_by_day(connection, MIDNIGHT) == {MIDNIGHT.date(): {State.STORED: 2}}
    assert recordings_since(database, MIDNIGHT - timedelta(hours=1)) == {State.STORED: 2, State.FAILED: 1}


def test_the_days_are_written_down_with_the_other_figures(database, came, clock):
    now = clock()
    came(now)
    came(now - timedelta(days=stats.DAYS))
    assert stats.write_figures(database, clock=clock)
    came(now)
    assert stats.totals(database, few=0, clock=clock).days == {now.date(): {State.STORED: 1}}
    assert stats.totals(database, clock=clock).days == {now.date(): {State.STORED: 2}}
