"""Times in the catalogue: aware on our side, on SQLite the text that SQLAlchemy's own type would write."""

from datetime import UTC, datetime, timedelta, timezone

from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy.dialects import sqlite
from sqlalchemy.dialects.sqlite import DATETIME

from recordings.catalogue.utc_time import UtcTime

DIALECT = sqlite.dialect()
WRITE = UtcTime().bind_processor(DIALECT)
READ = UtcTime().result_processor(DIALECT, None)
THEIRS = DATETIME().bind_processor(DIALECT)

zones = st.integers(-23 * 60, 23 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
moments = st.datetimes(datetime(1900, 1, 1), datetime(2200, 1, 1), timezones=zones)


@given(moments)
def test_a_time_is_written_as_sqlalchemy_would_and_reads_back(moment):
    assert WRITE(moment) == THEIRS(moment.astimezone(UTC).replace(tzinfo=None))
    assert READ(WRITE(moment)) == moment
    assert READ(WRITE(moment)).tzinfo is UTC


@given(moments, moments)
def test_the_text_sorts_by_time(one, other):
    assert (WRITE(one) < WRITE(other)) == (one < other)


def test_no_time_stays_none():
    assert (WRITE(None), READ(None)) == (None, None)
