"""Searching: what a filter chooses, pages that neither lose nor double a recording, and what is refused."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import update

from recordings.catalogue.derived import follow_copies, note_measured
from recordings.catalogue.intake import Intake
from recordings.catalogue.search import (
    InvalidFilter,
    RecordingFilter,
    by_row,
    filter_fields,
    parse_filter,
    search,
    walk,
)
from recordings.catalogue.search_plan import BOUNDS, Bounds
from recordings.catalogue.tables import copies
from recordings.model import Call, CallEvent, State, Transcription
from tests.services.servers import database_url, postgres_server_url, postgres_url  # noqa: F401 - fixtures

SECRET = b"a secret of the test"


@pytest.fixture
def put_in(database):
    def move(copy_id, state):
        with database.write() as connection:
            connection.execute(update(copies).where(copies.c.id == copy_id).values(state=state.value))
            follow_copies(connection, [copy_id])

    return move


@pytest.fixture
def uuids(database):
    """`uuids(**conditions)`: the ids of the recordings that such a filter chooses, in their order."""

    def found(bounds=BOUNDS, **conditions):
        filter = RecordingFilter(**conditions)
        page = search(database, filter, secret=SECRET, bounds=bounds)
        names = [row.recording.recording_uuid for row in page.rows]
        assert names == [row.recording.recording_uuid for row in walk(database, filter, bounds=bounds)]
        assert (page.count, page.count_capped, page.next_cursor) == (len(names), False, None)
        assert parse_filter(filter_fields(filter)) == filter
        return names

    return found


@pytest.fixture
def catalogue(database, clock, delivery, announcement, put_in):
    """Two calls with all that a filter may ask for, and a recording without audio."""
    one, two = Intake(database, ["file:///a"], clock=clock), Intake(database, ["file:///a", "gs://b"], clock=clock)
    one.note_call(Call("CON-1", "leg", "447700900001", "447700900000", "call", format="mp3"), "app")
    one.accept(delivery(), [CallEvent("answered", ("CON-1",), "leg", direction="inbound")])
    first = one.accept(delivery(), [announcement(recording_uuid="first", conversation_uuid="CON-1")])
    put_in(first.copy_ids[0], State.STORED)
    clock.move(3600)
    two.note_call(Call("CON-2", "leg", "447700900000", "4915550001", "split", format="ogg"), "app")
    one.accept(delivery(), [CallEvent("answered", ("CON-2",), "leg", direction="outbound")])
    second = two.accept(
        delivery(application_id="app 2"), [announcement(recording_uuid="second", conversation_uuid="2")]
    )
    put_in(second.copy_ids[0], State.STORED)
    put_in(second.copy_ids[1], State.FAILED)
    clock.move(3600)
    one.accept(delivery(), [announcement(recording_uuid="empty", conversation_uuid="3", recording_url="")])
    one.accept(
        delivery(),
        [Transcription("first", None, "transcribed", "https://x"), Transcription("second", None, "no", None)],
    )
    with database.write() as connection:
        note_measured(connection, 1, seconds=4.0, channels=2)
    return database


NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("conditions", "names"),
    [
        ({}, ["second", "first"]),
        ({"with_empty": True}, ["empty", "second", "first"]),
        ({"states": (State.EMPTY,)}, ["empty"]),
        ({"states": (State.EMPTY, State.STORED)}, ["empty", "first"]),
        ({"states": (State.STORED,)}, ["first"]),
        ({"states": (State.FAILED, State.BLOCKED)}, ["second"]),
        ({"storage": "file:///a"}, ["second", "first"]),
        ({"storage": "gs://b"}, ["second"]),
        ({"storage": "file:///a", "states": (State.STORED,)}, ["second", "first"]),
        ({"storage": "gs://b", "states": (State.STORED,)}, []),
        ({"storage": "file:///a", "states": (State.FAILED,)}, []),
        ({"storage": "gs://b", "states": (State.FAILED, State.WAITING)}, ["second"]),
        ({"flow": "call"}, ["first"]),
        ({"flow": "call", "states": (State.FAILED,)}, []),
        ({"direction": "outbound"}, ["second"]),
        ({"number": "447700900000"}, ["second", "first"]),
        ({"number": "447700900001"}, ["first"]),
        ({"number": "44770090000"}, []),
        ({"number": "4915", "number_match": "prefix"}, ["second"]),
        ({"number": "4477", "number_match": "prefix"}, ["second", "first"]),
        ({"number": "0001", "number_match": "suffix"}, ["second", "first"]),
        ({"number": "550001", "number_match": "suffix"}, ["second"]),
        ({"number": "0001", "number_match": "suffix", "states": (State.STORED,)}, ["first"]),
        ({"conversation": "con-1"}, ["first"]),
        ({"recording_uuid": "empty"}, ["empty"]),
        ({"recording_uuid": "nobody"}, []),
        ({"since": NOON + timedelta(seconds=1)}, ["second"]),
        ({"until": NOON + timedelta(hours=1)}, ["first"]),
        ({"since": NOON, "until": NOON + timedelta(hours=1, seconds=1)}, ["second", "first"]),
        ({"min_seconds": 4}, ["second", "first"]),
        ({"min_seconds": 5}, ["second"]),
        ({"format": "ogg"}, ["second"]),
        ({"application": "app 2"}, ["second"]),
        ({"has_transcript": True}, ["first"]),
        ({"has_transcript": False}, ["second"]),
    ],
    ids=str,
)
def test_a_filter_chooses_what_it_says_newest_first(catalogue, uuids, conditions, names):
    assert uuids(**conditions) == names


@pytest.mark.parametrize("conditions", [{"number": "447700900000"}, {"number": "0001", "number_match": "suffix"}])
@pytest.mark.parametrize("states", [(), (State.STORED,), (State.FAILED, State.BLOCKED)])
def test_a_number_that_very_many_have_is_found_alike(catalogue, uuids, conditions, states):
    few = uuids(**conditions, states=states)
    assert uuids(**conditions, states=states, bounds=Bounds(few=0)) == few


@pytest.mark.parametrize("bounds", [BOUNDS, Bounds(few=0)])
@pytest.mark.parametrize("further", [{}, {"storage": "file:///a"}, {"flow": "call"}], ids=str)
@pytest.mark.parametrize(
    "states",
    [
        (State.PENDING,),
        (State.FETCHING,),
        (State.PENDING, State.FETCHING),
        (State.FETCHING, State.FAILED),
        (State.PENDING, State.STORED),
    ],
)
def test_a_recording_that_a_worker_fetches_is_told_from_one_that_waits_for_its_first_attempt(
    database, clock, delivery, announcement, put_in, uuids, states, further, bounds
):
    intake = Intake(database, ["file:///a", "gs://b"], clock=clock)
    first_copies = (State.PENDING, State.FETCHING, State.FAILED, State.STORED)
    for state in first_copies:
        copy_ids = intake.accept(delivery(), [announcement(recording_uuid=state.value, flow="call")]).copy_ids
        put_in(copy_ids[1], State.FETCHING if state is State.FAILED else State.STORED)
        put_in(copy_ids[0], state)
        clock.move(1)
    assert uuids(states=states, bounds=bounds, **further) == [s.value for s in reversed(first_copies) if s in states]


def test_a_recording_shows_what_was_measured_of_it(catalogue):
    first, second = by_row(catalogue, 1), by_row(catalogue, 2)
    assert (first.recording.recording_uuid, first.seconds, first.channels) == ("first", 4.0, 2)
    assert (second.seconds, second.channels) == (None, None)
    assert by_row(catalogue, 99) is None


# --- Pages ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def many(database, intake, delivery, announcement, clock, put_in):
    """25 recordings, of which several came at the same moment; each third has failed."""
    for n in range(25):
        accepted = intake.accept(delivery(), [announcement(recording_uuid=f"r-{n:02}")])
        if n % 3 == 0:
            put_in(accepted.copy_ids[0], State.FAILED)
        clock.move(n % 2)
    return [f"r-{n:02}" for n in reversed(range(25))]


def pages(database, filter, limit, bounds=BOUNDS):
    cursor = None
    while True:
        page = search(database, filter, cursor=cursor, limit=limit, secret=SECRET, bounds=bounds)
        yield page
        cursor = page.next_cursor
        if cursor is None:
            return


def names_of(found):
    return [row.recording.recording_uuid for row in found]


@pytest.mark.parametrize("limit", [1, 3, 24, 25, 26])
@pytest.mark.parametrize("states", [(), (State.FAILED,), (State.FAILED, State.PENDING)])
def test_pages_show_each_recording_once(database, many, limit, states):
    wanted = [name for name in many if states != (State.FAILED,) or int(name[2:]) % 3 == 0]
    every = list(pages(database, RecordingFilter(states=states), limit))
    assert [name for page in every for name in names_of(page.rows)] == wanted
    assert {len(page.rows) for page in every[:-1]} <= {limit}
    assert {(page.count, page.count_capped) for page in every} == {(len(wanted), False)}


def test_what_comes_meanwhile_is_on_no_later_page(database, many, intake, delivery, announcement):
    first = search(database, RecordingFilter(), limit=10, secret=SECRET)
    intake.accept(delivery(), [announcement()])
    second = search(database, RecordingFilter(), cursor=first.next_cursor, limit=25, secret=SECRET)
    assert names_of(first.rows) + names_of(second.rows) == many


def test_a_page_looks_only_so_far_back_where_few_are_wanted_and_says_so(database, many):
    bounds = Bounds(window=4, counted=3)
    filter = RecordingFilter(storage="file:///tapes", min_seconds=1)
    every = list(pages(database, filter, 10, bounds))
    assert [name for page in every for name in names_of(page.rows)] == many
    assert all(page.searched_to for page in every[:-1])
    assert every[-1].searched_to is None
    assert {(page.count, page.count_capped) for page in every} == {(3, True)}
    assert names_of(walk(database, filter, bounds=bounds)) == many


def test_a_walk_takes_no_more_than_asked_for_and_goes_over_many_pages(database, many):
    bounds = Bounds(walked=4)
    assert names_of(walk(database, RecordingFilter(), bounds=bounds)) == many
    assert names_of(walk(database, RecordingFilter(), limit=7, bounds=bounds)) == many[:7]


def test_the_count_ends_where_nobody_counts_on(database, many):
    page = search(database, RecordingFilter(), secret=SECRET, bounds=Bounds(counted=20))
    assert (page.count, page.count_capped) == (20, True)


# --- What is refused --------------------------------------------------------------------------------------------------


def test_a_cursor_belongs_to_its_filter_and_its_signature(database, many):
    failed = RecordingFilter(states=(State.FAILED,))
    cursor = search(database, failed, limit=2, secret=SECRET).next_cursor
    with pytest.raises(InvalidFilter, match="another filter"):
        search(database, RecordingFilter(), cursor=cursor, secret=SECRET)
    for wrong in (cursor[:-1], "x" + cursor, cursor.upper(), "a.b.c", "é", "x" * 10_000):
        with pytest.raises(InvalidFilter, match="damaged or made up"):
            search(database, failed, cursor=wrong, secret=SECRET)
    with pytest.raises(InvalidFilter, match="damaged or made up"):
        search(database, failed, cursor=cursor, secret=b"another secret")


def test_a_cursor_goes_on_although_the_last_days_are_others_now(database, many):
    fields = {"since": "7d", "state": "failed"}
    now = NOON + timedelta(hours=1)
    cursor = search(database, parse_filter(fields, clock=lambda: now), limit=2, secret=SECRET).next_cursor
    later = parse_filter(fields, clock=lambda: now + timedelta(seconds=5))
    assert len(search(database, later, cursor=cursor, secret=SECRET).rows) == 7


@pytest.mark.parametrize("limit", [0, -1, 501])
def test_a_limit_out_of_bounds_is_refused(database, limit):
    with pytest.raises(InvalidFilter, match="use 1 to 500"):
        search(database, RecordingFilter(), limit=limit, secret=SECRET)
