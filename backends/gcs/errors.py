"""What Google's answers mean: its errors in the words of `recordings.errors`, with what to do about each."""
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
PATIENT = 20.0  # a longer Retry-After than this many seconds is left to the caller


class Occupied(StorageError):
    """Another writer created the object first (412)."""


BUSY = frozenset({408, 429, 500, 502, 503, 504})
RIGHTS = "Give the account the role Storage Object User (roles/storage.objectUser) on the bucket."

# (status, what its reason or message holds, our error, what to do); the first that fits.
# https://cloud.google.com/storage/docs/json_api/v1/status-codes
ANSWERS: tuple[tuple[frozenset[int], str, type[StorageError], str], ...] = (
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
    (frozenset({412}), "", Occupied, ""),
    (frozenset({400}), "crc32c|md5|checksum|hash", ChecksumMismatch, "Nothing was stored; it is tried again."),
)


@contextmanager
def translated(doing: str, *, missing: type[StorageError] = ObjectNotFound) -> Iterator[None]:
    """Google's errors in our words. `missing` is what 404 and 410 mean; whatever is not Google's passes unchanged.

    Their errors are not chained: they quote whole URLs, an upload session's too.
    """
    import requests
    from google.api_core.exceptions import GoogleAPICallError, RetryError
    from google.auth.exceptions import GoogleAuthError

    try:
        yield
    except RetryError as error:
        raise _in_our_words(doing, error.cause or error, missing) from None
    except (GoogleAPICallError, GoogleAuthError, requests.RequestException) as error:
        raise _in_our_words(doing, error, missing) from None


def _in_our_words(doing: str, error: BaseException, missing: type[StorageError]) -> StorageError:
    response = getattr(error, "response", None)
    if response is None:
        return _unanswered(doing, error)
    status = response.status_code
    said, reason = _said(response)
    kind, mend = _meaning(status, f"{reason} {said}", missing)
    return kind(
        f"Google Cloud Storage, {doing}: HTTP {status}, {said} {mend}".strip(), retry_after=_retry_after(response)
    )


def _meaning(status: int, words: str, missing: type[StorageError]) -> tuple[type[StorageError], str]:
    if status in (404, 410):
        if missing is ObjectNotFound and not re.search("bucket does not exist|bucket not found", words, re.I):
            return ObjectNotFound, ""
        if missing is StorageUnavailable:
            return missing, "The upload's session is gone; it is tried again from the start."
        return StorageConfigurationError, "Create the bucket, or mend its name in STORAGE_URL."
    for statuses, pattern, kind, mend in ANSWERS:
        if status in statuses and re.search(pattern, words, re.I):
            return kind, mend
    if status >= 500:
        return StorageUnavailable, AGAIN
    return StorageConfigurationError, "Google refuses the request as it is: look at STORAGE_URL and at the bucket."


def _unanswered(doing: str, error: BaseException) -> StorageError:
    """No answer at all: the network, or credentials that led to none."""
    from google.auth.exceptions import DefaultCredentialsError, InvalidOperation, RefreshError

    said = re.sub(r"\?\S*", "?…", f"{type(error).__name__}: {error}")[:300]
    # InvalidOperation: 401 to a request that went without credentials, to an emulator.
    if isinstance(error, InvalidOperation) or (isinstance(error, RefreshError) and not error.retryable):
        mend = f"Google does not take the credentials: make a new key and set {INLINE[0]}."
        return StoragePermissionError(f"Google Cloud Storage, {doing}: {said} {mend}")
    if isinstance(error, DefaultCredentialsError):
        mend = f"Set {INLINE[0]} to the JSON of a service account's key, or GOOGLE_APPLICATION_CREDENTIALS to its path."
        return StorageConfigurationError(f"Google Cloud Storage, {doing}: {said} {mend}")
    return StorageUnavailable(f"Google Cloud Storage, {doing}: {said} {AGAIN}")


def _said(response: Any) -> tuple[str, str]:
    """The store's own message, and its machine-readable reason."""
    try:
        error = response.json()["error"]
        return str(error["message"])[:300], str((error.get("errors") or [{}])[0].get("reason", ""))
    except (ValueError, KeyError, TypeError, AttributeError):
        return (response.text or response.reason or "no message")[:300], ""


def worth_waiting(error: BaseException) -> bool:
    import requests
    from google.auth.exceptions import GoogleAuthError

    response = getattr(error, "response", None)
    if response is not None:
        return response.status_code in BUSY and (_retry_after(response) or 0) <= PATIENT
    if isinstance(error, GoogleAuthError):
        return bool(error.retryable)
    return isinstance(error, requests.ConnectionError | requests.Timeout)


def _retry_after(response: Any) -> float | None:
    return parse_retry_after(response.headers.get("Retry-After"), utc_now())
