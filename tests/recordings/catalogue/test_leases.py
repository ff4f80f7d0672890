"""Who may work on a copy, until when, and who is believed at the end. Time is moved by hand throughout."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from recordings.archive.failures import RetryPolicy
from recordings.catalogue.leases import Leases
from recordings.catalogue.listing import find
from recordings.errors import LeaseLost, SourceUnavailable
from recordings.model import State
from recordings.storage import PutResult

RESULT = PutResult(100, "ab" * 32, True, "file:///tapes/k")


def store(leases, claim):
    leases.stored(claim, key="k.mp3", content_type="audio/mpeg", result=RESULT)


# --- Claiming ---------------------------------------------------------------------------------------------------------


def test_a_claim_knows_its_recording_and_counts_its_attempt(leases, new_copy, row_of, clock):
    copy_id = new_copy(recording_uuid="r", recording_url="https://api.nexmo.com/v1/files/y", size=7)
    claim = leases.claim(copy_id)
    assert (claim.recording.recording_uuid, claim.recording.recording_url) == ("r", "https://api.nexmo.com/v1/files/y")
    assert (claim.recording.size, claim.attempts, claim.storage) == (7, 1, "file:///tapes")
    row = row_of(copy_id)
    assert (row["state"], row["token"]) == ("fetching", claim.token)
    assert (row["due_at"] - clock()).total_seconds() == 60


def test_many_who_claim_and_finish_at_once_each_get_what_is_theirs(leases, new_copy, row_of):
    ended = [leases.claim(new_copy(recording_uuid=f"old-{n}")) for n in range(8)]
    wanted = [new_copy(recording_uuid=f"new-{n}") for n in range(8)]
    together = threading.Barrier(24)

    def act(do, what):
        together.wait(10)
        return do(what)

    with ThreadPoolExecutor(24) as pool:
        endings = [pool.submit(act, lambda claim: store(leases, claim), claim) for claim in ended]
        first, second = ([pool.submit(act, leases.claim, copy_id) for copy_id in wanted] for _ in range(2))
    assert [future.result() for future in endings] == [None] * 8
    claims = [one.result() or two.result() for one, two in zip(first, second, strict=True)]
    assert [claim.copy_id for claim in claims] == wanted
    assert [claim.recording.recording_uuid for claim in claims] == [f"new-{n}" for n in range(8)]
    assert sum(future.result() is None for future in (*first, *second)) == 8
    assert [row_of(copy_id)["token"] for copy_id in wanted] == [claim.token for claim in claims]
    assert len({claim.token for claim in claims}) == 8
    assert {row_of(claim.copy_id)["state"] for claim in ended} == {"stored"}


@pytest.mark.parametrize("nonsense", ["x", None, [1]])
def test_what_is_no_copys_id_spoils_nobodys_batch(leases, new_copy, row_of, nonsense):
    ended, wanted = leases.claim(new_copy(recording_uuid="old")), new_copy(recording_uuid="new")
    together = threading.Barrier(3)

    def act(do, what):
        together.wait(10)
        return do(what)

    with ThreadPoolExecutor(3) as pool:
        ending = pool.submit(act, lambda claim: store(leases, claim), ended)
        strange = pool.submit(act, leases.claim, nonsense)
        claim = pool.submit(act, leases.claim, wanted)
    assert ending.result() is None
    assert claim.result().copy_id == wanted
    assert strange.exception() or strange.result() is None
    assert row_of(ended.copy_id)["state"] == "stored"


def test_of_many_who_claim_at_once_one_gets_it(make_database, new_copy, clock):
    copy_id, together = new_copy(), threading.Barrier(16)
    offices = [Leases(make_database(), clock=clock) for _ in range(4)]

    def claim_at_once(n):
        together.wait(10)
        return offices[n % 4].claim(copy_id)

    with ThreadPoolExecutor(16) as pool:
        claims = list(pool.map(claim_at_once, range(16)))
    assert sum(claim is not None for claim in claims) == 1


def test_a_copy_that_is_not_there_is_nobodys(leases):
    assert leases.claim(12345) is None


@pytest.mark.parametrize("end", [store, lambda leases, claim: leases.failed(claim, "over")])
def test_a_copy_that_is_done_is_not_claimed_again(leases, new_copy, clock, end, due_ids):
    copy_id = new_copy()
    end(leases, leases.claim(copy_id))
    clock.move(365 * 86400)
    assert leases.claim(copy_id) is None
    assert due_ids() == []


@pytest.mark.parametrize("state", [State.WAITING, State.BLOCKED])
def test_nobody_claims_before_the_wait_is_over(leases, new_copy, clock, state, due_ids):
    copy_id = new_copy()
    leases.retry_later(leases.claim(copy_id), state, "not now", 100)
    clock.move(99.9)
    assert leases.claim(copy_id) is None
    assert due_ids() == []
    clock.move(0.1)
    assert due_ids() == [copy_id]
    assert leases.claim(copy_id).attempts == 2


def test_a_lease_that_ran_out_is_free_for_the_next(leases, new_copy, clock, due_ids):
    copy_id = new_copy()
    leases.claim(copy_id)
    clock.move(59.9)
    assert leases.claim(copy_id) is None
    clock.move(0.1)
    assert due_ids() == [copy_id]
    assert leases.claim(copy_id).attempts == 2


# --- Renewing ---------------------------------------------------------------------------------------------------------


def test_renewing_holds_on_and_tells_what_is_still_ours(leases, new_copy, clock):
    kept, ended, taken = (leases.claim(new_copy()) for _ in range(3))
    clock.move(50)
    assert leases.renew([kept.token, ended.token]) == {kept.token, ended.token}
    store(leases, ended)
    clock.move(20)
    successor = leases.claim(taken.copy_id)
    assert successor is not None
    assert leases.claim(kept.copy_id) is None
    assert leases.renew([kept.token, ended.token, taken.token, "never heard of"]) == {kept.token}
    assert leases.renew([]) == set()


def test_a_renewed_lease_is_not_due(leases, new_copy, clock, due_ids):
    claim = leases.claim(new_copy())
    for _ in range(10):
        clock.move(20)
        assert leases.renew([claim.token]) == {claim.token}
        assert due_ids() == []


# --- Ending -----------------------------------------------------------------------------------------------------------


def test_stored_writes_the_receipt(leases, new_copy, database, clock):
    copy_id = new_copy(recording_uuid="r")
    leases.retry_later(leases.claim(copy_id), State.WAITING, "an error before", 0)
    store(leases, leases.claim(copy_id))
    (copy,) = find(database, "r")[0].copies
    assert (copy.state, copy.key, copy.size, copy.sha256) == (State.STORED, "k.mp3", 100, "ab" * 32)
    assert (copy.content_type, copy.stored_at, copy.error, copy.attempts) == ("audio/mpeg", clock(), None, 2)


@pytest.mark.parametrize(
    "end",
    [
        store,
        lambda leases, claim: leases.retry_later(claim, State.WAITING, "late", 0),
        lambda leases, claim: leases.failed(claim, "late"),
    ],
    ids=["stored", "again", "failed"],
)
def test_whoever_lost_the_lease_is_fenced_off(leases, new_copy, clock, row_of, end):
    slow = leases.claim(new_copy())
    clock.move(61)
    quick = leases.claim(slow.copy_id)
    before = row_of(slow.copy_id)
    with pytest.raises(LeaseLost, match="took over"):
        end(leases, slow)
    assert row_of(slow.copy_id) == before
    store(leases, quick)
    with pytest.raises(LeaseLost):
        end(leases, slow)
    assert row_of(slow.copy_id)["state"] == "stored"


def test_whoever_ended_once_does_not_end_again(leases, new_copy):
    claim = leases.claim(new_copy())
    store(leases, claim)
    with pytest.raises(LeaseLost):
        leases.failed(claim, "no, wait")


def test_a_lease_that_ran_out_but_that_nobody_took_still_counts(leases, new_copy, clock, row_of):
    claim = leases.claim(new_copy())
    clock.move(3600)
    store(leases, claim)
    assert row_of(claim.copy_id)["state"] == "stored"


def test_what_is_given_back_is_due_at_once_and_did_not_count(leases, new_copy, clock, due_ids):
    claim = leases.claim(new_copy())
    leases.give_back(claim)
    assert due_ids() == [claim.copy_id]
    assert leases.claim(claim.copy_id).attempts == 1


def test_giving_back_what_is_another_workers_changes_nothing(leases, new_copy, clock, row_of):
    slow = leases.claim(new_copy())
    clock.move(61)
    leases.claim(slow.copy_id)
    before = row_of(slow.copy_id)
    leases.give_back(slow)
    assert row_of(slow.copy_id) == before


# --- The next that is due ---------------------------------------------------------------------------------------------


def test_the_next_claim_is_of_the_copy_that_has_been_due_for_the_longest_time(leases, new_copy, clock):
    ids = []
    for _ in range(3):
        ids.append(new_copy())
        clock.move(1)
    assert [leases.claim_next().copy_id for _ in ids] == ids
    assert leases.claim_next() is None


def test_a_copy_in_a_storage_that_has_no_room_is_passed_over(leases, new_copy):
    new_copy()
    assert leases.claim_next(without=["file:///tapes"]) is None
    assert leases.claim_next(without=["file:///elsewhere"]) is not None


def test_a_copy_that_is_not_due_yet_is_not_the_next(leases, new_copy, clock):
    leases.retry_later(leases.claim(new_copy()), State.WAITING, "404", 10)
    assert leases.claim_next() is None
    clock.move(10)
    assert leases.claim_next().attempts == 2


def test_workers_that_claim_at_once_share_the_copies_out(make_database, new_copy, clock):
    ids = [new_copy() for _ in range(40)]
    barrier = threading.Barrier(8)
    offices = [Leases(make_database(), clock=clock) for _ in range(4)]

    def claim_all(n):
        barrier.wait(10)
        return [claim.copy_id for claim in iter(offices[n % 4].claim_next, None)]

    with ThreadPoolExecutor(8) as pool:
        claimed = list(pool.map(claim_all, range(8)))
    assert sorted(copy_id for part in claimed for copy_id in part) == ids


def test_a_copy_that_kept_killing_its_worker_backs_off_before_it_is_the_next(leases, schedule, new_copy, clock):
    new_copy()
    for _ in range(4):
        assert leases.claim_next() is not None
        clock.move(61)
    assert leases.claim_next() is None
    schedule.back_off_dead(lambda attempts: 100)
    clock.move(100)
    assert leases.claim_next().attempts == 5


# --- Taking what nobody announced -------------------------------------------------------------------------------------


def test_a_copy_is_asked_for_and_claimed_in_one_step(leases, new_copy, row_of, clock, database):
    recording_id = row_of(new_copy())["recording_id"]
    claim = leases.take(recording_id, "file:///later")
    assert (claim.storage, claim.attempts, claim.recording.state) == ("file:///later", 1, State.FETCHING)
    assert leases.take(recording_id, "file:///later") is None  # it is held
    clock.move(61)
    assert leases.take(recording_id, "file:///later").attempts == 2


def test_a_copy_that_is_stored_is_not_taken(leases, new_copy, row_of):
    copy_id = new_copy()
    store(leases, leases.claim(copy_id))
    assert leases.take(row_of(copy_id)["recording_id"], "file:///tapes") is None


def test_a_copy_that_has_failed_is_taken_again(leases, new_copy, row_of):
    copy_id = new_copy()
    leases.failed(leases.claim(copy_id), "over")
    assert leases.take(row_of(copy_id)["recording_id"], "file:///tapes").copy_id == copy_id


def test_a_stored_copy_that_was_found_bad_is_claimed_and_keeps_its_key(leases, new_copy, row_of):
    copy_id = new_copy()
    assert leases.reopen(copy_id, "damaged") is None  # it is not stored
    store(leases, leases.claim(copy_id))
    claim = leases.reopen(copy_id, "damaged")
    row = row_of(copy_id)
    assert (claim.key, claim.attempts, row["token"]) == ("k.mp3", 1, claim.token)
    assert (row["state"], row["error"], row["size"], row["sha256"]) == ("fetching", "damaged", None, None)


# --- A whole life -----------------------------------------------------------------------------------------------------


def test_29_days_of_a_row_end_after_a_hundred_attempts(leases, new_copy, clock, row_of):
    policy, copy_id, begun, steps = RetryPolicy(), new_copy(), clock(), 0
    while row_of(copy_id)["state"] != "failed":
        claim = leases.claim(copy_id)
        decision = policy.decide(SourceUnavailable("Vonage has trouble"), claim.attempts, claim.recording, clock())
        if decision.will_retry:
            leases.retry_later(claim, decision.state, decision.reason, decision.delay)
            clock.move(decision.delay)
        else:
            leases.failed(claim, decision.reason)
        steps += 1
        assert steps < 1000
    row = row_of(copy_id)
    assert 100 <= row["attempts"] <= 160
    assert 28.5 * 86400 < (clock() - begun).total_seconds() <= 29 * 86400
    assert "30 days" in row["error"]
    assert "Vonage has trouble" in row["error"]
