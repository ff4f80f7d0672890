"""The one table of what goes wrong and what follows: every cause's state, its wait, and where its meaning is written.

- transient (`waiting`): tried again with exponential back-off and jitter until day 29 after the recording's end;
- configuration (`blocked`): only a person can mend it; tried again every hour and at each worker's start;
- permanent (`failed`): a person may retry it.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

from recordings.errors import SourceDenied, SourceError, SourceMissing, SourceUnavailable
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
    """The error that a download's status other than 200 stands for, with the wait that Retry-After asks for."""
    cause = _BY_STATUS.get(status) or {4: _ANY_4XX, 5: _ANY_5XX}.get(status // 100, _OTHER)
    named = cause.meaning if str(status) in cause.meaning else f"{cause.meaning} (HTTP {status})"
    return cause.error(named, retry_after=parse_retry_after(headers.get("Retry-After"), now))


class Decision(NamedTuple):
    """What follows a failed attempt: the copy's next state, the wait in seconds, and the sentence to show."""

    state: State
    delay: float
    reason: str

    @property
    def will_retry(self) -> bool:
        return self.state is not State.FAILED


@dataclass(frozen=True)
class RetryPolicy:
    """How long to wait and when to give up, all in seconds. With the defaults an ailing copy gets about 120 attempts.

    Vonage deletes recordings after 30 days; `expires` stops a day before.
    """

    first: float = 10
    most: float = 6 * 3600
    blocked: float = 3600
    expires: float = 29 * 86400
    missing: float = 3 * 86400
    chance: Callable[[float, float], float] = random.uniform

    def backoff(self, attempts: int) -> float:
        """The wait after this many attempts: doubling, capped, with 20 % of jitter: copies do not march in step."""
        steady = min(self.most, self.first * 2.0 ** min(attempts - 1, 60))
        return steady * self.chance(0.8, 1.2)

    def deadline(self, recording: Recording) -> datetime:
        """When there is no point in trying any more."""
        end = recording.end_time or recording.start_time or recording.received_at
        # A recording cannot have ended after we heard of it: a clock far in the future must not keep it for ever.
        return min(end, recording.received_at) + timedelta(seconds=self.expires)

    def decide(self, error: BaseException, attempts: int, recording: Recording, now: datetime) -> Decision:
        """What follows this error at this attempt. Exceptions of strangers speak by `retryable` and `blocked`."""
        reason = _said(error)
        if not hasattr(error, "retryable"):
            reason = f"{type(error).__name__}: {reason}"
        if getattr(error, "blocked", False):
            state, delay = State.BLOCKED, self.blocked * self.chance(0.9, 1.1)
        elif getattr(error, "retryable", True) is False:
            return Decision(State.FAILED, 0, reason)
        else:
            state, delay = State.WAITING, self._wait(error, attempts)
        return self._last_words(error, Decision(state, delay, reason), recording, now)

    def _wait(self, error: BaseException, attempts: int) -> float:
        asked = getattr(error, "retry_after", None)
        if not isinstance(asked, (int, float)) or math.isnan(asked):  # a stranger may have said anything
            return self.backoff(attempts)
        return min(max(float(asked), 1.0), self.most)

    def _last_words(self, error: BaseException, decision: Decision, recording: Recording, now: datetime) -> Decision:
        then = now + timedelta(seconds=decision.delay)
        if then >= self.deadline(recording):
            reason = (
                f"Given up: Vonage keeps a recording for 30 days, and they are over. The last error: {decision.reason}"
            )
            return Decision(State.FAILED, 0, reason)
        if isinstance(error, SourceMissing) and then >= recording.received_at + timedelta(seconds=self.missing):
            days = round(self.missing / 86400)
            return Decision(State.FAILED, 0, f"{decision.reason} It has been so for {days} days.")
        return decision


def _said(error: BaseException) -> str:
    try:
        return str(error) or repr(error)
    except Exception:  # a stranger's exception may fail even at this
        return type(error).__name__
