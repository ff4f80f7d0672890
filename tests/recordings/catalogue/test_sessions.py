"""Sessions that were ended: each stays so until its cookie is too old by itself, and one read tells."""

from __future__ import annotations

import pytest
from sqlalchemy import select

from recordings.catalogue.sessions import LONGEST, Sessions
from recordings.catalogue.tables import ended_sessions


@pytest.fixture
def sessions(database, clock):
    return Sessions(database, clock=clock)


def rows(database):
    with database.read() as connection:
        return set(connection.scalars(select(ended_sessions.c.id)))


def test_a_session_has_ended_once_somebody_ended_it_and_no_other_has(sessions):
    one, other = sessions.new_id(), sessions.new_id()
    assert not sessions.has_ended(one)
    sessions.end(one)
    sessions.end(one)
    assert (sessions.has_ended(one), sessions.has_ended(other)) == (True, False)


def test_all_processes_know_it(sessions, make_database):
    sessions.end("one")
    assert Sessions(make_database()).has_ended("one")


def test_an_end_is_kept_for_as_long_as_the_cookie_could_live_and_forgotten_later(sessions, clock, database):
    sessions.end("old")
    clock.move(LONGEST.total_seconds())
    sessions.end("newer")
    assert rows(database) == {"old", "newer"}
    clock.move(2 * 86400)
    sessions.end("newest")
    assert rows(database) == {"newer", "newest"}
