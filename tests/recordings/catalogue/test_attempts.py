"""The attempts that failed: which are noted, with what they led to, and how many of them stay."""

from __future__ import annotations

import pytest

from recordings.archive.failures import RetryPolicy
from recordings.catalogue.attempts import KEPT, failed_attempts
from recordings.catalogue.listing import find
from recordings.catalogue.nightly import whole_catalogue
from recordings.catalogue.tables import attempts
from recordings.errors import LeaseLost
from recordings.model import State
from recordings.storage import PutResult

RESULT = PutResult(100, "ab" * 32, True, "file:///tapes/k")


@pytest.fixture
def copy_id(new_copy):
    return new_copy(recording_uuid="r")


@pytest.fixture
def noted(database):
    """`noted()`: (number, state, error) of each failed attempt at the copies of the recording `r`."""

    def read():
        (recording,) = find(database, "r")
        return [(row.number, row.state.value, row.error) for row in failed_attempts(database, recording)]

    return read


def fail(leases, copy_id, error="no audio", state=State.WAITING):
    leases.retry_later(leases.claim(copy_id), state, error, 0)


def test_each_attempt_that_failed_is_kept_with_its_time_and_what_it_led_to(leases, copy_id, clock, database, noted):
    fail(leases, copy_id, "Vonage was busy")
    clock.move(60)
    fail(leases, copy_id, "the bucket is missing", State.BLOCKED)
    clock.move(60)
    leases.failed(leases.claim(copy_id), "the file is gone")
    assert noted() == [
        (1, "waiting", "Vonage was busy"),
        (2, "blocked", "the bucket is missing"),
        (3, "failed", "the file is gone"),
    ]
    first, _, third = failed_attempts(database, find(database, "r")[0])
    assert (third.at - first.at).total_seconds() == 120
    assert {first.storage, third.storage} == {"file:///tapes"}


def test_an_attempt_that_stores_or_gives_back_or_only_pins_notes_nothing(leases, copy_id, rows):
    leases.give_back(leases.claim(copy_id))
    claim = leases.claim(copy_id)
    leases.pin(claim, "k.mp3")
    leases.stored(claim, key="k.mp3", content_type="audio/mpeg", result=RESULT)
    assert rows(attempts) == []


def test_whoever_lost_the_claim_notes_no_attempt(leases, copy_id, clock, rows):
    late = leases.claim(copy_id)
    clock.move(61)
    leases.claim(copy_id)
    with pytest.raises(LeaseLost):
        leases.failed(late, "too late")
    assert rows(attempts) == []


def test_an_attempt_whose_worker_died_is_noted_once_the_copy_waits(leases, schedule, copy_id, clock, noted):
    for _ in range(4):
        assert leases.claim(copy_id)
        clock.move(61)
    schedule.back_off_dead(RetryPolicy().backoff)
    ((number, state, error),) = noted()
    assert (number, state) == (4, "waiting")
    assert "stopped without a word at attempt 4" in error


def test_the_newest_attempts_of_each_copy_stay_and_those_of_other_copies_are_untouched(leases, new_copy, noted, rows):
    other = new_copy(recording_uuid="other")
    fail(leases, other)
    copy_id = new_copy(recording_uuid="r")
    for _ in range(KEPT + 5):
        fail(leases, copy_id)
    assert [number for number, *_ in noted()] == list(range(6, KEPT + 6))
    assert [row["number"] for row in rows(attempts) if row["copy_id"] == other] == [1]


def test_an_error_is_kept_without_its_secrets_and_not_longer_than_people_read(leases, copy_id, noted):
    fail(leases, copy_id, "GET https://x?sig=abcdefgh1234 failed")
    fail(leases, copy_id, "no " * 100_000)
    (_, _, first), (_, _, second) = noted()
    assert first == "GET https://x?sig=*** failed"
    assert len(second) == 2000


def test_the_nightly_list_tells_of_them(leases, copy_id, new_copy, database):
    fail(leases, copy_id, "Vonage was busy")
    new_copy(recording_uuid="other")
    lines = [line["recording"] for line in whole_catalogue(database) if "recording" in line]
    by_uuid = {line["recording_uuid"]: line["failed_attempts"] for line in lines}
    assert by_uuid["other"] == []
    assert [(row["number"], row["state"], row["error"]) for row in by_uuid["r"]] == [(1, "waiting", "Vonage was busy")]
