"""When copies become due: by a person's word, at a worker's start, after a worker's death. Time is moved by hand."""

from __future__ import annotations

import pytest

from recordings.model import State
from recordings.storage import PutResult

RESULT = PutResult(100, "ab" * 32, True, "file:///tapes/k")


def store(leases, claim):
    leases.stored(claim, key="k.mp3", content_type="audio/mpeg", result=RESULT)


def test_how_many_are_due_and_when_the_next_one_is(schedule, leases, new_copy, clock):
    assert schedule.due(5) == (0, None)
    for delay in (30, 20):
        leases.retry_later(leases.claim(new_copy()), State.WAITING, "404", delay)
    assert schedule.due(5) == (0, 20)
    new_copy()
    assert schedule.due(5) == (1, 20)
    clock.move(25)
    assert schedule.due(5) == (2, 5)
    assert schedule.due(1) == (1, None)  # no more than asked for is counted
    assert schedule.due(5, without=["file:///tapes"]) == (0, None)


def test_the_oldest_claim_is_told_by_its_age(leases, schedule, new_copy, clock):
    first, second = new_copy(), new_copy()
    assert schedule.oldest_claim_seconds() == 0.0
    claim = leases.claim(first)
    clock.move(20)
    leases.claim(second)
    clock.move(30)
    leases.renew([claim.token])
    assert schedule.oldest_claim_seconds() == 50.0
    leases.failed(claim, "gone")
    assert schedule.oldest_claim_seconds() == 30.0


def test_a_workers_start_makes_due_what_waits_for_a_mend(leases, new_copy, clock, due_ids, schedule):
    pending, blocked, waiting, running = (new_copy() for _ in range(4))
    leases.retry_later(leases.claim(blocked), State.BLOCKED, "wrong key", 3600)
    leases.retry_later(leases.claim(waiting), State.WAITING, "404", 3600)
    leases.claim(running)
    schedule.requeue_blocked()
    assert sorted(due_ids()) == [pending, blocked]
    assert leases.claim(blocked) is not None
    assert leases.claim(waiting) is None


# --- A person's word --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", [State.FAILED, State.BLOCKED, State.WAITING, State.PENDING])
def test_a_retry_makes_it_due_now(leases, new_copy, row_of, state, due_ids, schedule):
    copy_id = new_copy(recording_uuid="r")
    if state is State.FAILED:
        leases.failed(leases.claim(copy_id), "over")
    elif state is not State.PENDING:
        leases.retry_later(leases.claim(copy_id), state, "later", 86400)
    assert schedule.retry("r") == [copy_id]
    assert due_ids() == [copy_id]
    assert leases.claim(copy_id) is not None


def test_a_retry_leaves_alone_what_is_stored_or_in_work(leases, new_copy, row_of, schedule):
    stored, running = new_copy(recording_uuid="r-1"), new_copy(recording_uuid="r-2")
    store(leases, leases.claim(stored))
    claim = leases.claim(running)
    assert schedule.retry("r-1") == schedule.retry("r-2") == schedule.retry("nobody") == []
    assert row_of(running)["token"] == claim.token


# --- Copies that kill their workers -----------------------------------------------------------------------------------


def test_a_copy_that_keeps_killing_its_worker_waits_longer_and_says_so(leases, new_copy, clock, row_of, schedule):
    copy_id, asked = new_copy(), []

    def delay(attempts):
        asked.append(attempts)
        return 500.0

    for attempt in range(1, 5):
        assert leases.claim(copy_id).attempts == attempt
        assert schedule.back_off_dead(delay) == 0  # its lease runs
        clock.move(61)
        assert schedule.back_off_dead(delay) == (attempt > 3)
    row = row_of(copy_id)
    assert asked == [4]
    assert (row["state"], row["token"]) == ("waiting", None)
    assert "without a word at attempt 4" in row["error"]
    assert leases.claim(copy_id) is None
    clock.move(500)
    assert leases.claim(copy_id).attempts == 5


def test_a_copy_that_lives_is_never_expired(leases, new_copy, clock, schedule):
    copy_id = new_copy()
    for _ in range(8):
        leases.retry_later(leases.claim(copy_id), State.WAITING, "404", 0)
    claim = leases.claim(copy_id)
    clock.move(50)
    leases.renew([claim.token])
    clock.move(50)
    assert schedule.back_off_dead(lambda attempts: 500.0) == 0
    store(leases, claim)


def test_all_copies_in_a_state_are_due_by_one_order_up_to_the_newest_that_it_names(leases, new_copy, schedule, due_ids):
    failed = [new_copy() for _ in range(4)]
    for copy_id in failed:
        leases.failed(leases.claim(copy_id), "gone")
    blocked = new_copy()
    leases.retry_later(leases.claim(blocked), State.BLOCKED, "wrong key", 3600)
    assert schedule.retry_all(State.FAILED, upto=failed[2], most=2) == 2
    assert schedule.retry_all(State.FAILED, upto=failed[2], most=100) == 1
    assert sorted(due_ids()) == failed[:3]
    assert schedule.retry_all(State.FAILED, upto=failed[2], most=100) == 0
    assert schedule.retry_all(State.BLOCKED, upto=blocked, most=1) == 1
