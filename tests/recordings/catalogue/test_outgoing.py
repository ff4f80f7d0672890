"""Events for programs are committed together with what they tell of, sent by one worker at a time, and kept."""

from __future__ import annotations

import json
import threading

import pytest

from recordings.catalogue.leases import Leases
from recordings.catalogue.missing import MissingCalls
from recordings.catalogue.outgoing import OutgoingEvents, Progress, UnknownEvent
from recordings.catalogue.tables import outgoing_events
from recordings.errors import LeaseLost
from recordings.model import Call, CallEvent, State
from recordings.storage import PutResult
from tests.services.servers import database_url, postgres_server_url, postgres_url  # noqa: F401 - fixtures


@pytest.fixture
def events(database, clock):
    return OutgoingEvents(database, clock=clock)


@pytest.fixture
def leases(database, clock, events):
    return Leases(database, lease=60, clock=clock, events=events)


@pytest.fixture
def store(leases):
    """`store(copy_id)`: the copy is claimed and stored."""

    def end(copy_id):
        result = PutResult(size=100, sha256="ab" * 32, created=True, uri="file:///tapes/x")
        leases.stored(leases.claim(copy_id), key="x.mp3", content_type="audio/mpeg", result=result)

    return end


def test_a_stored_copy_is_told_with_the_recording_as_the_listing_shows_it(new_copy, store, events, clock):
    store(new_copy(recording_uuid="r-1"))
    (event,) = events.listing()
    assert (event.type, event.subject, event.state, event.due_at) == (
        *("recording.stored", "r-1", Progress.PENDING),
        clock(),
    )
    assert event.message_id.startswith("msg_")
    body = json.loads(event.body)
    assert (body["type"], body["timestamp"]) == ("recording.stored", "2026-11-22T12:00:00Z")
    assert body["data"]["recording"]["state"] == body["data"]["copy"]["state"] == "stored"
    assert body["data"]["recording"]["copies"] == [body["data"]["copy"]]
    assert "recording_url" not in event.body


def test_a_failed_copy_is_told_and_its_error_is_masked(new_copy, leases, events):
    leases.failed(leases.claim(new_copy()), "It said: password=hunter2-hunter2, go away.")
    (event,) = events.listing()
    assert event.type == "recording.failed"
    assert json.loads(event.body)["data"]["copy"]["error"] == "It said: password=***, go away."
    assert "hunter2" not in event.body


def test_what_is_tried_again_is_not_told(new_copy, leases, events):
    leases.retry_later(leases.claim(new_copy()), State.WAITING, "later", 10)
    leases.give_back(leases.claim(new_copy()))
    assert list(events.listing()) == []


def test_a_worker_whose_lease_is_lost_tells_nothing(new_copy, leases, events, clock):
    claim = leases.claim(new_copy())
    clock.move(61)
    assert leases.claim(claim.copy_id)
    with pytest.raises(LeaseLost):
        leases.failed(claim, "too late")
    assert list(events.listing()) == []


def test_an_event_that_cannot_be_written_leaves_the_copy_in_work(new_copy, database, clock, rows, row_of):
    events = OutgoingEvents(database, clock=clock, new_id=lambda: "the-same")
    leases = Leases(database, clock=clock, events=events)
    first, second = new_copy(), new_copy()
    leases.failed(leases.claim(first), "no")
    with pytest.raises(Exception, match=r"(?i)unique"):
        leases.failed(leases.claim(second), "no")
    assert (row_of(first)["state"], row_of(second)["state"]) == ("failed", "fetching")
    assert len(rows(outgoing_events)) == 1


def test_a_missing_call_is_told_once(database, intake, delivery, events, clock):
    intake.note_call(Call("CON-1", "leg", "447700900001", "447700900000", "voicemail", records=True), "a")
    for kind in ("answered", "completed"):
        intake.accept(delivery(route="events"), [CallEvent(kind, ("CON-1",), "leg")])
    clock.move(600)
    missing = MissingCalls(database, clock=clock, events=events)
    for _ in range(2):
        missing.settle()
    (event,) = events.listing()
    assert (event.type, event.subject) == ("call.missing", "CON-1")
    assert json.loads(event.body)["data"]["call"]["from"] == "447700900001"


def test_an_event_is_claimed_by_one_worker_of_all(new_copy, store, clock, make_database):
    store(new_copy())
    claimed, start = [], threading.Barrier(4)

    def claim(worker):
        start.wait(10)
        claimed.append(worker.claim_next())

    workers = [OutgoingEvents(make_database(), clock=clock) for _ in range(4)]
    threads = [threading.Thread(target=claim, args=(worker,)) for worker in workers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (event,) = [event for event in claimed if event]
    assert event.attempts == 1


def test_a_claim_ends_with_its_worker_and_the_late_answer_changes_nothing(new_copy, store, events, clock):
    store(new_copy())
    frozen = events.claim_next()
    assert events.claim_next() is None
    clock.move(121)
    successor = events.claim_next()
    assert (successor.message_id, successor.body, successor.attempts) == (frozen.message_id, frozen.body, 2)
    events.failed(frozen, "HTTP 500")
    events.delivered(successor, "HTTP 204")
    (event,) = events.listing()
    assert (event.state, event.answer, event.delivered_at) == (Progress.DELIVERED, "HTTP 204", clock())
    clock.move(86400)
    assert events.claim_next() is None


def test_an_event_is_given_up_after_five_days_and_a_replay_gives_it_five_more(new_copy, store, events, clock):
    store(new_copy())
    assert events.retry_later(events.claim_next(), "HTTP 500", 60)
    clock.move(5 * 86400 - 60)
    assert not events.retry_later(events.claim_next(), "HTTP 500", 60)
    (failed,) = events.listing(state=Progress.FAILED)
    assert (failed.answer, failed.due_at) == ("HTTP 500", None)
    replayed = events.replay(failed.id)
    assert (replayed.message_id, replayed.state, replayed.attempts) == (failed.message_id, Progress.PENDING, 0)
    assert events.retry_later(events.claim_next(), "HTTP 500", 4 * 86400)


def test_an_event_that_nobody_knows_cannot_be_replayed(events):
    with pytest.raises(UnknownEvent, match="flask notify list"):
        events.replay(7)


def test_old_events_are_forgotten_once_they_are_over(new_copy, store, events, clock):
    for _ in range(3):
        store(new_copy())
    events.delivered(events.claim_next(), "HTTP 204")
    clock.move(35 * 86400)
    events.prune(35)
    assert len(list(events.listing())) == 3
    clock.move(1)
    events.replay(2)
    events.prune(35)
    assert [event.id for event in events.listing()] == [2], "the first is delivered, and nobody sends the third"
