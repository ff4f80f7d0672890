"""What Google's errors mean: each as an error of `recordings.errors`, with what to do about it."""
# Google's libraries have types in part only.
# mypy: allow-untyped-calls

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from recordings.clock import utc_now
from recordings.errors import (
    ChecksumMismatch,
    ObjectNotFound,
    StorageConfigurationError,
    StorageError,
    StoragePermissionError,
    StorageUnavailable,
)
from recordings.retry_after import parse_retry_after

from .credentials import INLINE

AGAIN = "It is tried again."
LONGEST_RETRY_AFTER = 20.0  # seconds; a request that must wait longer is not retried here, but by the caller


class KeyTaken(StorageError):
    """Another writer stored an object under this key first (412)."""


BUSY = frozenset({408, 429, 500, 502, 503, 504})
RIGHTS = "Give the account the role Storage Object User (roles/storage.objectUser) on the bucket."

# (statuses, pattern of the reason or message, our error, what to do); the first match counts.
# https://cloud.google.com/storage/docs/json_api/v1/status-codes
MEANINGS: tuple[tuple[frozenset[int], str, type[StorageError], str], ...] = (
    (BUSY, "", StorageUnavailable, AGAIN),
    (frozenset({403}), "rateLimitExceeded", StorageUnavailable, AGAIN),
    (
        frozenset({403}),
        "retention|active.*hold",
        StoragePermissionError,
        "The object is retained: it can go when its hold is lifted or the bucket's retention period is over.",
    ),
    (frozenset({401}), "", StoragePermissionError, f"Google does not take the credentials: look at {INLINE[0]}."),
    (frozenset({403}), "", StoragePermissionError, RIGHTS),
    (frozenset({412}), "", KeyTaken, ""),
    (frozenset({400}), "crc32c|md5|checksum|hash", ChecksumMismatch, "Nothing was stored; it is tried again."),
)


@contextmanager
def translated(doing: str, *, missing: type[StorageError] = ObjectNotFound) -> Iterator[None]:
    """Raise Google's errors as errors of `recordings.errors`; any other error passes unchanged.

    `missing` is the error that 404 and 410 mean here. Google's error is not chained as the cause, because its text
    quotes whole URLs, and the URL of an upload session is a secret.
    """
    import requests
    from google.api_core.exceptions import GoogleAPICallError, RetryError
    from google.auth.exceptions import GoogleAuthError

    try:
        yield
    except RetryError as error:
        raise _translate(doing, error.cause or error, missing) from None
    except (GoogleAPICallError, GoogleAuthError, requests.RequestException) as error:
        raise _translate(doing, error, missing) from None


def _translate(doing: str, error: BaseException, missing: type[StorageError]) -> StorageError:
    response = getattr(error, "response", None)
    if response is None:
        return _unanswered(doing, error)
    status = response.status_code
    message, reason = _message_and_reason(response)
    error_class, mend = _meaning(status, f"{reason} {message}", missing)
    sentences = f"Google Cloud Storage, {doing}: HTTP {status}, {message} {mend}".strip()
    return error_class(sentences, retry_after=_retry_after(response))


def _meaning(status: int, text: str, missing: type[StorageError]) -> tuple[type[StorageError], str]:
    if status in (404, 410):
        if missing is ObjectNotFound and not re.search("bucket does not exist|bucket not found", text, re.I):
            return ObjectNotFound, ""
        if missing is StorageUnavailable:
            return missing, "The upload's session is gone; it is tried again from the start."
        return StorageConfigurationError, "Create the bucket, or mend its name in STORAGE_URL."
    for statuses, pattern, error_class, mend in MEANINGS:
        if status in statuses and re.search(pattern, text, re.I):
            return error_class, mend
    if status >= 500:
        return StorageUnavailable, AGAIN
    return StorageConfigurationError, "Google refuses the request as it is: look at STORAGE_URL and at the bucket."


def _unanswered(doing: str, error: BaseException) -> StorageError:
    """There was no answer: the network failed, or no credentials could be had."""
    from google.auth.exceptions import DefaultCredentialsError, InvalidOperation, RefreshError

    message = re.sub(r"\?\S*", "?…", f"{type(error).__name__}: {error}")[:300]
    # InvalidOperation: an emulator answered 401 to a request without credentials.
    if isinstance(error, InvalidOperation) or (isinstance(error, RefreshError) and not error.retryable):
        mend = f"Google does not take the credentials: make a new key and set {INLINE[0]}."
        return StoragePermissionError(f"Google Cloud Storage, {doing}: {message} {mend}")
    if isinstance(error, DefaultCredentialsError):
        mend = f"Set {INLINE[0]} to the JSON of a service account's key, or GOOGLE_APPLICATION_CREDENTIALS to its path."
        return StorageConfigurationError(f"Google Cloud Storage, {doing}: {message} {mend}")
    return StorageUnavailable(f"Google Cloud Storage, {doing}: {message} {AGAIN}")


def _message_and_reason(response: Any) -> tuple[str, str]:
    """Google's message for people, and its reason for programs."""
    try:
        error = response.json()["error"]
        return str(error["message"])[:300], str((error.get("errors") or [{}])[0].get("reason", ""))
    except (ValueError, KeyError, TypeError, AttributeError):
        return (response.text or response.reason or "no message")[:300], ""


def is_worth_a_retry(error: BaseException) -> bool:
    """Whether the same request may succeed within seconds."""
    import requests
    from google.auth.exceptions import GoogleAuthError

    response = getattr(error, "response", None)
    if response is not None:
        return response.status_code in BUSY and (_retry_after(response) or 0) <= LONGEST_RETRY_AFTER
    if isinstance(error, GoogleAuthError):
        return bool(error.retryable)
    return isinstance(error, requests.ConnectionError | requests.Timeout)


def _retry_after(response: Any) -> float | None:
    return parse_retry_after(response.headers.get("Retry-After"), utc_now())
