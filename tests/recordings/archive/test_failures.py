"""The one table of what goes wrong and what follows."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recordings.archive.failures import RetryPolicy, refusal
from recordings.errors import (
    ChecksumMismatch,
    InvalidKey,
    LeaseLost,
    NotAudio,
    ObjectExists,
    ObjectNotFound,
    SourceDenied,
    SourceMissing,
    SourceTruncated,
    SourceUnavailable,
    StorageConfigurationError,
    StoragePermissionError,
    StorageUnavailable,
)
from recordings.model import State

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
DAY = 86400.0


@pytest.fixture
def decide(recording):
    """`decide(error, attempts)`: what follows, without jitter, for a recording of just now."""
    policy = RetryPolicy(chance=lambda low, high: 1.0)
    return lambda error, attempts=1, now=NOW, **attributes: policy.decide(error, attempts, recording(**attributes), now)


# --- What a status means ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "kind", "state"),
    [
        (400, SourceUnavailable, State.WAITING),
        (401, SourceDenied, State.BLOCKED),
        (403, SourceDenied, State.BLOCKED),
        (404, SourceMissing, State.WAITING),
        (408, SourceUnavailable, State.WAITING),
        (410, SourceMissing, State.WAITING),
        (418, SourceUnavailable, State.WAITING),
        (429, SourceUnavailable, State.WAITING),
        (500, SourceUnavailable, State.WAITING),
        (503, SourceUnavailable, State.WAITING),
        (599, SourceUnavailable, State.WAITING),
        (204, SourceUnavailable, State.WAITING),
        (206, SourceUnavailable, State.WAITING),
        (304, SourceUnavailable, State.WAITING),
    ],
)
def test_each_status_has_its_meaning(decide, status, kind, state):
    error = refusal(status, {}, NOW)
    assert type(error) is kind
    assert str(status) in str(error)
    assert decide(error).state is state


def test_a_refusal_carries_the_wait_that_was_asked_for():
    assert refusal(429, {"Retry-After": "7"}, NOW).retry_after == 7
    assert refusal(503, {"Retry-After": "nonsense"}, NOW).retry_after is None


@given(st.text())
def test_no_retry_after_of_vonage_raises(value):
    seconds = refusal(429, {"Retry-After": value}, NOW).retry_after
    assert seconds is None or 0 <= seconds < float("inf")


def test_the_wait_that_vonage_asks_for_is_kept_within_bounds(decide):
    assert decide(SourceUnavailable("429", retry_after=77)).delay == 77
    assert decide(SourceUnavailable("429", retry_after=10 * DAY)).delay == 6 * 3600


@pytest.mark.parametrize("seconds", [0, 5, -1])
def test_a_wish_for_less_than_the_back_off_does_not_shorten_it(decide, seconds):
    waits = [decide(SourceUnavailable("429", retry_after=seconds), attempt).delay for attempt in (1, 2, 13)]
    assert waits == [10, 20, 21600]


def test_an_end_long_before_the_event_does_not_fail_a_recording_that_is_not_ready_yet(decide):
    assert decide(SourceMissing("404"), end_time=NOW - timedelta(days=320)).state is State.WAITING


# --- Back-off ---------------------------------------------------------------------------------------------------------


@given(st.integers(1, 10_000), st.floats(1, 3600), st.floats(3600, DAY))
def test_the_wait_doubles_within_its_bounds(attempts, first, most):
    wait = RetryPolicy(first=first, most=most).backoff(attempts)
    steady = min(most, first * 2.0 ** min(attempts - 1, 1000))
    assert 0.8 * steady <= wait <= 1.2 * steady


def test_copies_that_fail_together_do_not_come_back_together():
    policy = RetryPolicy()
    assert len({policy.backoff(5) for _ in range(50)}) > 40


def test_the_first_waits_are_those_of_the_book(decide):
    assert [decide(SourceUnavailable("x"), n).delay for n in (1, 2, 3, 4, 12, 13)] == [10, 20, 40, 80, 20480, 21600]


# --- Giving up --------------------------------------------------------------------------------------------------------


def test_it_goes_on_until_day_29_after_the_end_and_no_longer(decide):
    end = NOW - timedelta(seconds=10)
    late = end + timedelta(days=29, hours=-7)
    assert decide(SourceUnavailable("x"), 50, now=late).state is State.WAITING
    over = decide(SourceUnavailable("the last of all"), 50, now=late + timedelta(hours=2))
    assert (over.state, over.will_retry) == (State.FAILED, False)
    assert "30 days" in over.reason
    assert "the last of all" in over.reason


@pytest.mark.parametrize(
    ("attributes", "counts_from"),
    [
        ({"end_time": None, "start_time": NOW - timedelta(days=2)}, NOW - timedelta(days=2)),
        ({"end_time": None, "start_time": None}, NOW),
        ({"end_time": datetime(9999, 12, 31, tzinfo=UTC)}, NOW),
        ({"end_time": datetime(1, 1, 1, tzinfo=UTC)}, NOW),
        ({"end_time": NOW - timedelta(days=3)}, NOW - timedelta(days=3)),
        ({"end_time": NOW - timedelta(days=3, seconds=1)}, NOW),
    ],
)
def test_the_deadline_of_odd_times(recording, attributes, counts_from):
    assert RetryPolicy().deadline(recording(**attributes)) == counts_from + timedelta(days=29)


def test_a_missing_file_is_missed_for_three_days(decide):
    almost = NOW + timedelta(days=3, hours=-7)
    assert decide(SourceMissing("404"), 30, now=almost).state is State.WAITING
    over = decide(SourceMissing("No such file."), 30, now=almost + timedelta(hours=2))
    assert (over.state, over.reason) == (State.FAILED, "No such file. It has been so for 3 days.")
    assert decide(SourceUnavailable("500"), 30, now=almost + timedelta(hours=2)).state is State.WAITING


def test_what_only_a_person_can_mend_is_tried_each_hour(decide):
    for attempts in (1, 40):
        assert decide(SourceDenied("401"), attempts)[:2] == (State.BLOCKED, 3600)


def test_those_hours_are_not_in_step(recording):
    delay = RetryPolicy().decide(SourceDenied("x"), 1, recording(), NOW).delay
    assert 0.9 * 3600 <= delay <= 1.1 * 3600


def test_what_is_blocked_ends_on_day_29_too(decide):
    assert decide(SourceDenied("401"), 700, now=NOW + timedelta(days=29)).state is State.FAILED


@pytest.mark.parametrize(
    ("error", "state"),
    [
        (SourceTruncated("x"), State.WAITING),
        (NotAudio("x"), State.WAITING),
        (ChecksumMismatch("x"), State.WAITING),
        (StorageUnavailable("x"), State.WAITING),
        (LeaseLost("x"), State.WAITING),
        (StorageConfigurationError("x"), State.BLOCKED),
        (StoragePermissionError("x"), State.BLOCKED),
        (ObjectNotFound("x"), State.FAILED),
        (ObjectExists("x"), State.FAILED),
        (InvalidKey("x"), State.FAILED),
    ],
    ids=lambda value: type(value).__name__,
)
def test_each_error_of_ours_has_its_state(decide, error, state):
    assert decide(error).state is state


# --- Exceptions of strangers ------------------------------------------------------------------------------------------


class Strange(Exception):
    def __init__(self, message="", **attributes):
        super().__init__(message)
        self.__dict__.update(attributes)


@pytest.mark.parametrize(
    ("attributes", "state"),
    [
        ({}, State.WAITING),
        ({"retryable": True}, State.WAITING),
        ({"retryable": False}, State.FAILED),
        ({"blocked": True}, State.BLOCKED),
        ({"retryable": False, "blocked": True}, State.BLOCKED),
        ({"retryable": None}, State.WAITING),
    ],
)
def test_a_plugins_exception_decides_by_its_attributes(decide, attributes, state):
    assert decide(Strange("the bucket is shy", **attributes)).state is state
    assert "the bucket is shy" in decide(Strange("the bucket is shy", **attributes)).reason


def test_an_exception_that_nobody_foresaw_is_named(decide):
    assert decide(KeyError("size")).reason == "KeyError: 'size'"
    assert decide(Strange()).reason == "Strange"
    assert decide(TimeoutError("timed out")).state is State.WAITING


@pytest.mark.parametrize("asked", ["soon", float("nan"), float("inf"), -5, object(), timedelta(seconds=3), "12"])
def test_whatever_wait_a_stranger_asks_for_there_is_an_answer(decide, asked):
    decision = decide(Strange("busy", retryable=True, retry_after=asked))
    assert decision.state is State.WAITING
    assert 1 <= decision.delay <= 6 * 3600


def test_an_exception_that_cannot_be_shown_still_has_an_answer(decide):
    class Mute(Exception):
        def __str__(self):
            raise RuntimeError

    assert decide(Mute()).state is State.WAITING
