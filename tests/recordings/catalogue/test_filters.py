"""The grammar of filters: what is understood, what is refused and in which words, and that it comes back as it was."""

from __future__ import annotations

import string
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recordings.catalogue.filters import FORMATS, InvalidFilter, RecordingFilter, filter_fields, parse_filter
from recordings.model import State

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
DAY = timedelta(days=1)


def parse(**fields):
    return parse_filter(fields, clock=lambda: NOW)


@pytest.mark.parametrize(
    ("fields", "conditions"),
    [
        ({}, {}),
        ({"state": "", "number": "  ", "since": ""}, {}),
        ({"state": "failed"}, {"states": (State.FAILED,)}),
        ({"state": "Stored, failed,stored"}, {"states": (State.FAILED, State.STORED)}),
        ({"state": ["failed", "blocked"]}, {"states": (State.BLOCKED, State.FAILED)}),
        ({"number": "+44 (7700) 900-001"}, {"number": "447700900001"}),
        ({"number": "0001", "number_match": "SUFFIX"}, {"number": "0001", "number_match": "suffix"}),
        ({"number_match": "suffix"}, {}),
        ({"number": "12"}, {"number": "12"}),
        ({"since": "2026-11-20"}, {"since": NOW.replace(day=20, hour=0)}),
        ({"since": "7d"}, {"since": NOW - 7 * DAY}),
        ({"since": "99999d"}, {"since": datetime(1970, 1, 1, tzinfo=UTC)}),
        ({"since": "2026-11-20T14:00+02:00"}, {"since": NOW.replace(day=20)}),
        ({"until": "2026-11-20"}, {"until": NOW.replace(day=21, hour=0)}),
        ({"until": "2026-11-20T12:00"}, {"until": NOW.replace(day=20)}),
        ({"min_seconds": "2.5"}, {"min_seconds": 2.5}),
        ({"has_transcript": "no", "with_empty": "1"}, {"has_transcript": False, "with_empty": True}),
        ({"direction": "Inbound", "format": "MP3"}, {"direction": "inbound", "format": "mp3"}),
    ],
    ids=str,
)
def test_what_people_write_is_understood(fields, conditions):
    assert parse(**fields) == RecordingFilter(**conditions)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"stat": "failed"}, "no filter 'stat': use state, storage"),
        ({"state": "lost"}, "'lost' is no state: use pending"),
        ({"number": "Jane"}, "telephone number"),
        ({"number": "٤٤٧٧"}, "telephone number"),
        ({"number": "1" * 33}, "telephone number"),
        ({"number": "123", "number_match": "suffix"}, "3 digits: give at least 4"),
        ({"number": "123", "number_match": "prefix"}, "3 digits: give at least 4"),
        ({"number": "1234", "number_match": "infix"}, "use exact, prefix, suffix"),
        ({"since": "yesterday"}, "since: 'yesterday' is no point in time"),
        ({"since": "0001-01-01T00:00+23:00"}, "no point in time"),
        ({"until": "9999-12-31"}, "no point in time"),
        ({"until": "2199-12-31"}, "no point in time"),
        ({"since": "2199-12-31T23:59:59-23:59"}, "no point in time"),
        ({"since": "1970-01-01T00:00+23:59"}, "no point in time"),
        ({"since": "2026-11-22", "until": "2026-11-20"}, "must be before until"),
        ({"min_seconds": "long"}, "give seconds from 0"),
        ({"min_seconds": "nan"}, "give seconds from 0"),
        ({"min_seconds": "-1"}, "give seconds from 0"),
        ({"format": "flac"}, "use mp3, wav, ogg"),
        ({"with_empty": "perhaps"}, "use true or false"),
        ({"flow": "a\x00b"}, "without control characters"),
        ({"storage": "x" * 1001}, "at most 1000 characters"),
        ({"flow": ["call", "split"]}, "given 2 times"),
    ],
    ids=str,
)
def test_what_is_wrong_is_refused_with_what_is_right(fields, words):
    with pytest.raises(InvalidFilter, match=words):
        parse(**fields)


texts = st.text(string.ascii_letters + string.digits + "-:/.", min_size=1, max_size=20)
moments = st.datetimes(datetime(2020, 1, 1), datetime(2026, 1, 1), timezones=st.just(UTC))
filters = st.builds(
    RecordingFilter,
    states=st.lists(st.sampled_from(State)).map(tuple),
    **{name: st.none() | texts for name in ("storage", "flow", "conversation", "recording_uuid", "application")},
    direction=st.sampled_from([None, "inbound", "outbound"]),
    number=st.text("0123456789", min_size=4, max_size=15),
    number_match=st.sampled_from(["exact", "prefix", "suffix"]),
    since=st.none() | moments,
    until=st.none() | moments.map(lambda moment: moment + timedelta(days=3000)),
    min_seconds=st.none() | st.floats(0, 86400),
    format=st.sampled_from([None, *FORMATS]),
    has_transcript=st.sampled_from([None, True, False]),
    with_empty=st.booleans(),
)


@given(filters)
def test_a_filter_comes_back_from_its_fields(filter):
    assert parse_filter(filter_fields(filter)) == filter


@given(filters, filters)
def test_a_fingerprint_tells_filters_apart_but_not_their_dates(one, other):
    same = all(
        getattr(one, name) == getattr(other, name)
        for name in RecordingFilter.__slots__
        if name not in ("since", "until")
    )
    assert (one.fingerprint == other.fingerprint) == same
