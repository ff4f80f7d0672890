"""How a recording is shown: in the state of its worst copy, with what is known of its call."""

from __future__ import annotations

import itertools

import pytest
from sqlalchemy import update

from recordings.catalogue.intake import Intake
from recordings.catalogue.listing import by_ids, find, transcripts
from recordings.catalogue.tables import copies
from recordings.model import WORST_FIRST, Call, CallEvent, State, Transcription, worst
from tests.services.servers import database_url, postgres_server_url, postgres_url  # noqa: F401 - fixtures


@pytest.fixture
def put_in(database):
    """`put_in(copy_id, state)`: move a copy there, as leases would in time."""

    def move(copy_id, state):
        with database.write() as connection:
            connection.execute(update(copies).where(copies.c.id == copy_id).values(state=state.value))

    return move


def test_an_unknown_id_finds_nothing(database):
    assert find(database, "nobody") == []


@pytest.mark.parametrize(("one", "other"), [*itertools.combinations(WORST_FIRST, 2)])
def test_the_worst_copy_speaks_for_the_recording(database, delivery, announcement, put_in, one, other):
    event = announcement()
    ids = Intake(database, ["file:///a", "file:///b"]).accept(delivery(), [event]).copy_ids
    put_in(ids[0], other)
    put_in(ids[1], one)
    (found,) = find(database, event.recording_uuid)
    assert found.state is one
    assert [copy.state for copy in found.copies] == [other, one]


def test_a_recording_by_its_row_is_the_same_as_by_its_uuid(database, intake, delivery, announcement):
    two = Intake(database, ["file:///a", "file:///b"])
    two.accept(delivery(), [announcement(recording_uuid="two copies", conversation_uuid="CON-2")])
    intake.accept(delivery(), [announcement(recording_uuid="no call", conversation_uuid="CON-3")])
    intake.accept(delivery(), [announcement(recording_uuid="no copy", recording_url="")])
    for leg, conversation in (("leg-1", "CON-2"), ("leg-2", "CON-4"), ("leg-3", "CON-5")):
        intake.note_call(Call(conversation, leg, "447700900001", leg, "call"), "the-application")
    for moved in ("CON-4", "CON-5"):
        intake.accept(delivery(), [CallEvent("transfer", (moved, "CON-2"), "leg")])
    names = ["two copies", "no call", "no copy"]
    with database.read() as connection:
        known = by_ids(connection, [1, 2, 3])
    assert [known[row] for row in (1, 2, 3)] == [find(database, name)[0] for name in names]
    assert [len(known[row].copies) for row in (1, 2, 3)] == [2, 1, 0]
    assert [known[row].to for row in (1, 2, 3)] == ["leg-1", None, None]


def test_the_order_of_badness_is_the_documented_one():
    order = [State.FAILED, State.BLOCKED, State.WAITING, State.FETCHING, State.PENDING, State.STORED]
    assert list(WORST_FIRST) == order
    assert worst([]) is State.EMPTY


def test_one_uuid_of_two_applications_is_found_twice(intake, delivery, announcement, database):
    event = announcement()
    for application in ("one", "two"):
        intake.accept(delivery(application_id=application), [event])
    assert [one.application_id for one in find(database, event.recording_uuid)] == ["one", "two"]


def test_only_a_copy_that_waits_tells_when_it_is_tried_again(new_copy, database, put_in, clock):
    copy_id = new_copy(recording_uuid="r")
    told_of = {State.PENDING: None, State.WAITING: clock(), State.BLOCKED: clock(), State.FAILED: None}
    for state, told in told_of.items():
        put_in(copy_id, state)
        assert find(database, "r")[0].copies[0].next_attempt_at == told


def test_times_come_back_as_they_went_in_utc(intake, delivery, announcement, database, clock):
    event = announcement()
    intake.accept(delivery(), [event])
    (found,) = find(database, event.recording_uuid)
    assert (found.start_time, found.end_time, found.received_at) == (event.start_time, event.end_time, clock())
    assert found.received_at.utcoffset().total_seconds() == 0


def test_transcriptions_are_told_to_their_own_recording_alone(intake, delivery, announcement, database):
    event = announcement()
    intake.accept(delivery(), [event])
    intake.accept(delivery(), [Transcription(event.recording_uuid, None, "transcribed", "https://x")])
    intake.accept(delivery(application_id="other"), [Transcription(event.recording_uuid, None, "no", None)])
    (told,) = transcripts(database, find(database, event.recording_uuid)[0])
    assert (told["status"], told["url"], told["error"]) == ("transcribed", "https://x", None)
