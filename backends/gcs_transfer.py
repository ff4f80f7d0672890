"""What goes over the wire to Google in requests of our own, an upload in chunks, and what Google's answers mean.

The errors here are those of `recordings.model`; nobody outside `backends.gcs` needs this.
"""
# Google's libraries have types in part only.
# mypy: allow-untyped-calls

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from recordings.errors import (
    ChecksumMismatch,
    ObjectNotFound,
    StorageConfigurationError,
    StorageError,
    StoragePermissionError,
    StorageUnavailable,
)
from recordings.storage import AudioStream

from .gcs_credentials import INLINE

# A chunk is what one transfer holds in memory; Google takes multiples of 256 KiB.
# https://cloud.google.com/storage/docs/performing-resumable-uploads#chunked-upload
CHUNK = 4 * 1024 * 1024
PIECE = 256 * 1024
TIMEOUT = (10, 60)  # seconds to connect, and between two bytes
AGAIN = "It is tried again."
PATIENT = 20.0  # a longer Retry-After than this many seconds is left to the caller


class Occupied(StorageError):
    """Another writer created the object first (412)."""


class Upload:
    """One resumable upload in chunks: https://cloud.google.com/storage/docs/performing-resumable-uploads

    Done here and not by the SDK's `upload_from_file`, because that gives up when Google keeps only part of a chunk
    (https://github.com/googleapis/python-storage/issues/611), cannot be cancelled, deletes whatever generation is there
    after a mismatch, and holds two chunks in memory. The session's URL is a secret: who has it may write.
    """

    def __init__(self, http: Any, session: str, retry: Any, doing: str) -> None:
        import google_crc32c

        self._http, self._session, self._retry, self._doing = http, session, retry, doing
        self.read = 0  # bytes taken from the source
        self._kept = 0  # bytes that Google has confirmed
        self.crc32c = google_crc32c.Checksum()

    def run(self, stream: AudioStream) -> dict[str, Any]:
        """Send it all; Google's description of the finished object."""
        buffer = memoryview(bytearray(CHUNK))
        while True:
            filled = self._fill(buffer, stream)
            with translated(self._doing, missing=StorageUnavailable):
                stored = self._send(buffer[:filled], last=filled < CHUNK)
            if stored is not None:
                return stored

    def cancel(self) -> None:
        """Best effort: a session that stays is invisible and expires within a week. The answer to this is 499."""
        with suppress(StorageError), translated(self._doing):
            exchange(self._http, "DELETE", self._session, headers={"Content-Length": "0"}, fine=(499,))

    def _fill(self, buffer: memoryview, stream: AudioStream) -> int:
        filled = 0
        while filled < CHUNK:
            piece = stream.read(min(PIECE, CHUNK - filled))
            if not piece:
                break
            buffer[filled : filled + len(piece)] = piece
            self.crc32c.update(piece)
            filled += len(piece)
        self.read += filled
        return filled

    def _send(self, chunk: memoryview, *, last: bool) -> dict[str, Any] | None:
        """Until Google has the chunk, of which it may keep a part at a time; None while the object is unfinished."""
        begin, idle = self.read - len(chunk), 0
        while idle < 3:
            response = self._retry(self._transmit)(chunk[self._kept - begin :], last)
            if response.status_code != 308:
                stored: dict[str, Any] = response.json()
                return stored
            # 308 without a Range: nothing was kept so far.
            kept = re.search(r"-(\d+)$", response.headers.get("Range", ""))
            before, self._kept = self._kept, int(kept[1]) + 1 if kept else 0
            if not before <= self._kept <= self.read:
                break
            if self._kept == self.read and not last:
                return None
            idle = idle + 1 if self._kept == before else 0
        raise StorageUnavailable(f"Google Cloud Storage, {self._doing}: it does not keep what is sent. {AGAIN}")

    def _transmit(self, rest: memoryview, last: bool) -> Any:
        total = str(self.read) if last else "*"
        span = f"{self._kept}-{self._kept + len(rest) - 1}" if rest else "*"
        headers = {"Content-Range": f"bytes {span}/{total}"}
        if last:  # Google refuses the object if this is not the crc32c of all that it received
            headers["X-Goog-Hash"] = f"crc32c={base64.b64encode(self.crc32c.digest()).decode()}"
        return exchange(self._http, "PUT", self._session, headers=headers, data=rest, fine=(308,))


def exchange(
    http: Any, method: str, url: str, *, headers: dict[str, str], data: Any = None, stream: bool = False, fine: Any = ()
) -> Any:
    from google.api_core.exceptions import from_http_response

    response = http.request(
        method, url, data=data, headers=headers, stream=stream, timeout=TIMEOUT, allow_redirects=False
    )
    if response.status_code >= 300 and response.status_code not in fine:
        with response:
            raise from_http_response(response)
    return response


# --- What Google's answers mean --------------------------------------------------------------------------------------

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
    return kind(f"Google Cloud Storage, {doing}: HTTP {status}, {said} {mend}".strip(), retry_after=_wish(response))


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
        return response.status_code in BUSY and (_wish(response) or 0) <= PATIENT
    if isinstance(error, GoogleAuthError):
        return bool(error.retryable)
    return isinstance(error, requests.ConnectionError | requests.Timeout)


def _wish(response: Any) -> float | None:
    """Retry-After, in seconds; it may be a date. https://www.rfc-editor.org/rfc/rfc9110#name-retry-after"""
    value = response.headers.get("Retry-After", "")
    if value.isdigit():
        return float(value)
    with suppress(ValueError):
        return max(0.0, (parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds())
    return None
