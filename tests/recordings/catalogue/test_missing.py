"""A call that was told to record and brought no recording is found, told of once, and forgotten when it comes late."""

from __future__ import annotations

import logging
import threading

import pytest

from recordings.catalogue.missing import MissingCalls
from recordings.catalogue.tables import calls
from recordings.model import Call, CallEvent
from tests.services.servers import database_url, postgres_server_url, postgres_url  # noqa: F401 - fixtures

ROOM = "CON-room"
LEG = "0a1b2c3d"


def make_call(**changes):
    words = {"conversation_uuid": "CON-1", "uuid": LEG, "from_": "447700900001", "to": "447700900000"}
    return Call(**words | {"flow": "voicemail", "format": "mp3", "channels": 1, "records": True} | changes)


@pytest.fixture
def told():
    return []


@pytest.fixture
def missing(database, clock, told):
    return MissingCalls(database, grace=600, clock=clock, tell=told.append)


@pytest.fixture
def say(intake, delivery):
    """`say(kind, conversation, ...)`: a call event arrives."""

    def event(kind, *conversations, leg=LEG, **more):
        happened = CallEvent(kind, conversations or ("CON-1",), leg, direction="inbound", **more)
        intake.accept(delivery(route="events"), [happened])

    return event


@pytest.fixture
def live(intake, clock, say):
    """A call as it goes: asked, answered, and completed after 30 seconds."""

    def place(**changes):
        intake.note_call(make_call(**changes), "the-application")
        say("answered")
        clock.move(30)
        say("completed")

    return place


def test_a_call_without_its_recording_is_missing_after_the_grace(live, missing, clock, told):
    live()
    clock.move(599)
    assert missing.settle() == []
    clock.move(1)
    (found,) = missing.settle()
    assert told == [found] == list(missing.listing())
    assert (found.conversation_uuid, found.uuid, found.from_, found.flow) == ("CON-1", LEG, "447700900001", "voicemail")
    assert found["seconds"] == 30
    assert found["completed_at"] == "2026-11-22T12:00:30Z"
    assert found["missing_since"] == "2026-11-22T12:10:30Z"
    assert missing.count() == missing.count(since=clock()) == 1
    clock.move(1)
    assert list(missing.listing(since=clock())) == []
    assert missing.count(since=clock()) == 0


def test_it_is_told_once_however_often_and_by_whomever_it_is_looked_for(live, clock, make_database, caplog):
    live()
    clock.move(3600)
    told, start = [], threading.Barrier(4)
    workers = [MissingCalls(make_database(), clock=clock, tell=told.append) for _ in range(4)]

    def look(worker):
        start.wait(10)
        worker.settle()

    threads = [threading.Thread(target=look, args=(worker,)) for worker in workers]
    with caplog.at_level(logging.WARNING):
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        workers[0].settle()
    assert len(told) == 1
    assert len([record for record in caplog.records if "CON-1" in record.message]) == 1


def test_a_recording_in_time_is_all_that_was_expected(live, missing, intake, delivery, announcement, clock, rows):
    live()
    intake.accept(delivery(), [announcement(conversation_uuid="con-1")])
    clock.move(3600)
    assert missing.settle() == []
    assert list(missing.listing()) == []
    assert [row["expectation"] for row in rows(calls)] == ["met"]


def test_an_empty_recording_counts(live, missing, intake, delivery, announcement, clock):
    live()
    intake.accept(delivery(), [announcement(conversation_uuid="CON-1", recording_url="", size=0)])
    clock.move(3600)
    assert missing.settle() == []


def test_a_recording_that_comes_late_clears_it(live, missing, intake, delivery, announcement, clock, rows, told):
    live()
    clock.move(3600)
    missing.settle()
    intake.accept(delivery(), [announcement(conversation_uuid="CON-1")])
    assert list(missing.listing()) == []  # at once, before any sweep
    assert missing.count() == 0
    assert missing.settle() == []
    assert [row["expectation"] for row in rows(calls)] == ["met"]
    assert len(told) == 1


def test_the_conversation_that_the_call_moved_into_counts(intake, say, missing, delivery, announcement, clock, told):
    intake.note_call(make_call(flow="conversation"), "the-application")
    say("answered")
    say("transfer", "CON-1", "CON-lobby")
    say("transfer", "CON-lobby", ROOM)
    say("completed", ROOM)  # a moved leg ends in another conversation than it began in
    clock.move(3600)
    intake.accept(delivery(), [announcement(conversation_uuid=ROOM)])
    assert missing.settle() == []


def test_a_moved_call_without_any_recording_is_missing(intake, say, missing, clock):
    intake.note_call(make_call(flow="conversation"), "the-application")
    say("answered")
    say("transfer", "CON-1", ROOM)
    say("completed", ROOM)
    clock.move(3600)
    assert [call.conversation_uuid for call in missing.settle()] == ["CON-1"]


def test_the_end_of_the_other_leg_is_not_the_end_of_the_call(intake, say, missing, clock):
    intake.note_call(make_call(flow="call"), "the-application")
    say("answered")
    say("answered", leg="callee")
    say("completed", leg="callee")
    clock.move(3600)
    assert missing.settle() == []
    say("completed")
    clock.move(600)
    assert len(missing.settle()) == 1


@pytest.mark.parametrize("changes", [{"records": False}, {"flow": "moderated", "records": False}])
def test_a_call_that_was_not_told_to_record_is_not_expected(live, missing, clock, changes):
    live(**changes)
    clock.move(7 * 86400)
    assert missing.settle() == []


def test_a_call_that_nobody_picked_up_is_not_expected(intake, say, missing, clock, rows):
    intake.note_call(make_call(), "the-application")
    say("ringing")
    say("completed")
    clock.move(3600)
    assert missing.settle() == []
    assert [row["expectation"] for row in rows(calls)] == ["none"]


def test_a_call_whose_end_nobody_told_is_judged_after_a_day(intake, say, missing, clock):
    intake.note_call(make_call(), "the-application")
    say("answered")
    clock.move(86400)
    assert missing.settle() == []
    clock.move(600)
    assert len(missing.settle()) == 1


def test_events_may_come_before_the_note_of_the_call(intake, say, missing, clock):
    say("completed")
    say("answered")
    intake.note_call(make_call(), "the-application")
    clock.move(600)
    assert len(missing.settle()) == 1


def test_several_are_judged_at_once_and_listed_oldest_first(intake, say, missing, clock):
    for number in range(3):
        intake.note_call(make_call(conversation_uuid=f"CON-{number}", uuid=f"leg-{number}"), "the-application")
        say("answered", f"CON-{number}", leg=f"leg-{number}")
        say("completed", f"CON-{number}", leg=f"leg-{number}")
    clock.move(600)
    assert len(missing.settle()) == 3
    assert [call.conversation_uuid for call in missing.listing()] == ["CON-0", "CON-1", "CON-2"]


def test_nothing_is_written_where_nothing_is_due(live, missing, clock, make_database):
    live()
    with make_database().write():  # another process holds the write lock
        assert missing.settle() == []


def test_a_call_that_a_person_sets_aside_counts_as_missing_no_longer(live, missing, clock):
    live()
    live(conversation_uuid="CON-2", uuid="another-leg")
    clock.move(3600)
    missing.settle()
    pile = missing.pile()
    assert pile.number == missing.count() > 0
    assert missing.set_aside(upto=pile.newest - 1, most=10) == pile.number - 1
    assert missing.count() == 1
    assert missing.set_aside(upto=pile.newest, most=10) == 1
    assert (missing.count(), list(missing.listing()), missing.settle()) == (0, [], [])
