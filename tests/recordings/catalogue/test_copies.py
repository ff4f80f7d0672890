"""Which recordings lack a copy, and who may make one that was asked for."""

from __future__ import annotations

import pytest

from recordings.catalogue import copies
from recordings.catalogue.listing import find
from recordings.errors import LeaseLost
from recordings.model import State
from recordings.storage import PutResult

NEW = "file:///new"


@pytest.fixture
def recording_id(new_copy, database):
    new_copy()
    ((row, _),) = copies.lacking(database, NEW)
    return row


def test_a_copy_is_asked_for_once_and_the_sweep_leaves_it_to_the_asker(database, leases, recording_id, clock):
    first = copies.want(database, recording_id, NEW, clock())
    assert copies.want(database, recording_id, NEW, clock()) == first
    assert first not in leases.due()
    claim = leases.claim(first)
    assert copies.want(database, recording_id, NEW, clock()) is None, "somebody is at it"
    clock.move(61)
    assert copies.want(database, recording_id, NEW, clock()) == first, "the lease has run out"
    newer = leases.claim(first)
    with pytest.raises(LeaseLost):
        leases.failed(claim, "the one that was too slow")
    leases.stored(newer, key="k", content_type="audio/mpeg", result=PutResult(1, "0" * 64, True, "u"))
    assert copies.want(database, recording_id, NEW, clock()) is None, "it is stored"
    assert copies.count_lacking(database, NEW) == 0
    assert list(copies.lacking(database, NEW)) == []


def test_what_its_asker_forgets_is_swept_up(database, leases, recording_id, clock):
    copy_id = copies.want(database, recording_id, NEW, clock())
    clock.move(301)
    assert copy_id in leases.due()


def test_a_copy_that_was_given_up_is_taken_up_again(database, leases, recording_id, clock):
    copy_id = copies.want(database, recording_id, NEW, clock())
    leases.failed(leases.claim(copy_id), "on purpose")
    assert copies.want(database, recording_id, NEW, clock()) == copy_id
    assert leases.claim(copy_id).attempts == 2


def test_what_is_left_to_the_workers_is_due_at_once_and_not_disturbed(database, leases, recording_id, clock):
    copies.request(database, recording_id, NEW, clock())
    _, recording = next(copies.lacking(database, NEW))
    (copy,) = [copy for copy in find(database, recording.recording_uuid)[0].copies if copy.storage == NEW]
    assert copy.state is State.PENDING
    (copy_id,) = leases.due()
    leases.failed(leases.claim(copy_id), "on purpose")
    copies.request(database, recording_id, NEW, clock())
    assert copies.state_of(database, copy_id) == (State.FAILED, "on purpose")


def test_recordings_without_audio_lack_nothing(database, new_copy, intake, delivery, announcement):
    intake.accept(delivery(), [announcement(recording_url="", size=0)])
    assert copies.count_lacking(database, NEW) == 0


def test_every_page_of_a_long_catalogue_is_looked_through(database, new_copy):
    for _ in range(8):
        new_copy()
    assert len({row for row, _ in copies.lacking(database, NEW, page=3)}) == 8 == copies.count_lacking(database, NEW)
