"""Which recordings lack a copy, and how a copy is asked for: at once by one process, or left to the workers."""

from __future__ import annotations

import pytest

from recordings.catalogue import copies
from recordings.catalogue.listing import find
from recordings.catalogue.schedule import Schedule
from recordings.errors import LeaseLost
from recordings.model import State
from recordings.storage import PutResult

NEW = "file:///new"


@pytest.fixture
def recording_id(new_copy, database):
    new_copy()
    ((row, _),) = copies.lacking(database, NEW)
    return row


def test_a_copy_is_asked_for_and_made_once(database, leases, recording_id, clock):
    claim = leases.take(recording_id, NEW)
    assert leases.take(recording_id, NEW) is None, "another worker holds it"
    clock.move(61)
    newer = leases.take(recording_id, NEW)
    with pytest.raises(LeaseLost):
        leases.failed(claim, "the worker that was too slow")
    leases.stored(newer, key="k", content_type="audio/mpeg", result=PutResult(1, "0" * 64, True, "u"))
    assert leases.take(recording_id, NEW) is None, "it is stored"
    assert copies.count_lacking(database, NEW) == 0
    assert list(copies.lacking(database, NEW)) == []


def test_what_its_taker_forgets_is_due_when_the_lease_is_over(leases, recording_id, clock, due_ids):
    claim = leases.take(recording_id, NEW)
    clock.move(61)
    assert claim.copy_id in due_ids()


def test_a_copy_that_was_given_up_is_taken_up_again(leases, recording_id):
    claim = leases.take(recording_id, NEW)
    leases.failed(claim, "on purpose")
    again = leases.take(recording_id, NEW)
    assert (again.copy_id, again.attempts) == (claim.copy_id, 2)


def test_what_is_left_to_the_workers_is_due_at_once_and_not_disturbed(database, leases, recording_id, clock, due_ids):
    schedule = Schedule(database, clock=clock)
    schedule.request(recording_id, NEW)
    _, recording = next(copies.lacking(database, NEW))
    (copy,) = [copy for copy in find(database, recording.recording_uuid)[0].copies if copy.storage == NEW]
    assert copy.state is State.PENDING
    copy_id = due_ids()[-1]
    leases.failed(leases.claim(copy_id), "on purpose")
    schedule.request(recording_id, NEW)
    assert copies.state_of(database, copy_id) == (State.FAILED, "on purpose")


def test_recordings_without_audio_lack_nothing(database, new_copy, intake, delivery, announcement):
    intake.accept(delivery(), [announcement(recording_url="", size=0)])
    assert copies.count_lacking(database, NEW) == 0


def test_every_page_of_a_long_catalogue_is_looked_through(database, new_copy):
    for _ in range(8):
        new_copy()
    assert len({row for row, _ in copies.lacking(database, NEW, page=3)}) == 8 == copies.count_lacking(database, NEW)
