"""What a failed attempt means: the copy's next state, the wait before the next attempt, and the sentence to show.

- `waiting`, a passing failure: tried again with exponential back-off and jitter until day 29 after the recording's end;
- `blocked`, a fault in the configuration, which only a person can mend: tried again every hour and at each worker's
  start;
- `failed`, a permanent failure: a person may retry it.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

from recordings.errors import SourceDenied, SourceError, SourceMissing, SourceUnavailable, TapekeeperError
from recordings.messages import message_of
from recordings.model import Recording, State
from recordings.retry_after import parse_retry_after


class _Cause(NamedTuple):
    error: type[SourceError]
    meaning: str


# What Vonage's answer to a download means. Nobody documents the file server's own statuses; these are the API's.
# https://developer.vonage.com/en/api-errors, https://developer.vonage.com/en/voice/voice-api/guides/recording
_BY_STATUS = {
    # The token is for another application, the key is not that application's, or this machine's clock is wrong.
    401: _Cause(
        SourceDenied,
        "Vonage refused our token (401). Check that VONAGE_APPLICATION_ID made this recording, that VONAGE_PRIVATE_KEY "
        "is its key, and that this machine's clock is right.",
    ),
    403: _Cause(
        SourceDenied, "Vonage forbids this download (403). Check the account's rights and that it is not suspended."
    ),
    # A wrong region answers 404 too. https://github.com/Vonage/vonage-java-sdk/issues/143
    404: _Cause(SourceMissing, "Vonage has no such file (404): it may not be ready yet, or be gone."),
    410: _Cause(SourceMissing, "Vonage says that the file is gone (410)."),
    408: _Cause(SourceUnavailable, "Vonage gave up waiting for our request (408)."),
    429: _Cause(SourceUnavailable, "Vonage asks us to slow down (429)."),
}
_ANY_4XX = _Cause(SourceUnavailable, "Vonage answered with an unexpected refusal.")
_ANY_5XX = _Cause(SourceUnavailable, "Vonage has trouble of its own.")
_OTHER = _Cause(SourceUnavailable, "Vonage answered with a status that makes no sense for a download.")


def refusal(status: int, headers: Mapping[str, str], now: datetime) -> SourceError:
    """The error that stands for a download's status other than 200, with the wait that Retry-After asks for."""
    cause = _BY_STATUS.get(status) or {4: _ANY_4XX, 5: _ANY_5XX}.get(status // 100, _OTHER)
    message = cause.meaning if str(status) in cause.meaning else f"{cause.meaning} (HTTP {status})"
    return cause.error(message, retry_after=parse_retry_after(headers.get("Retry-After"), now))


class Decision(NamedTuple):
    """The copy's next state, the wait in seconds, and the sentence to show."""

    state: State
    delay: float
    reason: str

    @property
    def will_retry(self) -> bool:
        return self.state is not State.FAILED


@dataclass(frozen=True)
class RetryPolicy:
    """How long to wait and when to give up, all in seconds. By default this makes about 120 attempts.

    `first` and `most` are the shortest and the longest wait of the back-off, `blocked` is the wait of a blocked copy.
    Vonage deletes recordings after 30 days; `expires` ends the attempts a day before. After `missing` a file that
    Vonage does not have is given up. An event comes within hours of the recording's end: an end more than `late` before
    the receipt is not believed.
    """

    first: float = 10
    most: float = 6 * 3600
    blocked: float = 3600
    expires: float = 29 * 86400
    missing: float = 3 * 86400
    late: float = 3 * 86400
    chance: Callable[[float, float], float] = random.uniform

    def backoff(self, attempts: int) -> float:
        """The wait after this many attempts. It doubles up to `most`; 20 % of jitter spreads the copies."""
        wait = min(self.most, self.first * 2.0 ** min(attempts - 1, 60))
        return wait * self.chance(0.8, 1.2)

    def deadline(self, recording: Recording) -> datetime:
        """The time after which Vonage no longer has the recording."""
        received = recording.received_at
        end = recording.end_time or recording.start_time or received
        # A recording cannot have ended after its event came. An end time far in the future would mean attempts without
        # end.
        if end > received or received - end > timedelta(seconds=self.late):
            end = received
        return end + timedelta(seconds=self.expires)

    def decide(
        self, error: BaseException, attempts: int, recording: Recording, now: datetime, *, fetched: bool = False
    ) -> Decision:
        """What follows this error at this attempt. A plugin's exception decides by `retryable` and `blocked`.

        `fetched`: the audio is in the store, so it does not matter how long Vonage keeps it.
        """
        reason = message_of(error)
        if not hasattr(error, "retryable") and reason != type(error).__name__:
            reason = f"{type(error).__name__}: {reason}"
        if getattr(error, "blocked", False):
            state, delay = State.BLOCKED, self.blocked * self.chance(0.9, 1.1)
        elif getattr(error, "retryable", True) is False:
            return Decision(State.FAILED, 0, reason)
        else:
            state, delay = State.WAITING, self._wait(error, attempts)
        decision = Decision(state, delay, reason)
        return decision if fetched else self._unless_too_late(error, decision, recording, now)

    def _wait(self, error: BaseException, attempts: int) -> float:
        """The back-off, or the wait that the other server asked for, where that is longer."""
        seconds, backoff = getattr(error, "retry_after", None), self.backoff(attempts)
        if not isinstance(seconds, (int, float)) or math.isnan(seconds):  # a plugin's exception may hold anything
            return backoff
        return max(backoff, min(float(seconds), self.most))

    def _unless_too_late(
        self, error: BaseException, decision: Decision, recording: Recording, now: datetime
    ) -> Decision:
        next_attempt = now + timedelta(seconds=decision.delay)
        if next_attempt >= self.deadline(recording):
            reason = (
                f"Given up: Vonage keeps a recording for 30 days, and they are over. The last error: {decision.reason}"
            )
            return Decision(State.FAILED, 0, reason)
        if isinstance(error, SourceMissing) and next_attempt >= recording.received_at + timedelta(seconds=self.missing):
            days = round(self.missing / 86400)
            return Decision(State.FAILED, 0, f"{decision.reason} It has been so for {days} days.")
        return decision


def plain(error: BaseException) -> BaseException:
    """An error of the same class and message, for plugins: without cause, context and traceback.

    What hangs on the original, such as a store's own exception with its request, is often sent to an error tracker.
    """
    message = message_of(error)
    try:
        copy = type(error).__new__(type(error), message)
        copy.args = (message,)
        for name in ("retryable", "blocked", "retry_after"):
            if hasattr(error, name):
                setattr(copy, name, getattr(error, name))
        return copy if message_of(copy) == message else TapekeeperError(message)
    except Exception:  # a plugin's class may not bear this
        return TapekeeperError(message)
