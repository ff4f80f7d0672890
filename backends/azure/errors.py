"""What Azure's errors mean: each as an error of `recordings.errors`, with what to do about it."""

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


class KeyTaken(StorageError):
    """Another writer stored a blob under this key first."""


class BlocksLost(StorageUnavailable):
    """Azure no longer has blocks that were sent."""


class RangeBehindEnd(StorageError):
    """The range begins behind the end of the blob (416)."""


AGAIN = "It is tried again."
RIGHTS = "Give the identity the role Storage Blob Data Contributor, or the SAS the permissions racwdl."
CREDENTIALS = "Azure does not take the credentials: look at AZURE_STORAGE_KEY or its kin, and at this machine's clock."
RETAINED = "The blob is retained: it can go when its legal hold is lifted or its immutability policy has ended."
CONTAINER = "Create the container, or mend its name in STORAGE_URL."

# The error code is looked up first, the status second: https://learn.microsoft.com/rest/api/storageservices/blob-service-error-codes
CODES: dict[str, tuple[type[StorageError], str]] = {
    "BlobAlreadyExists": (KeyTaken, ""),
    "InvalidBlockList": (BlocksLost, AGAIN),
    "InvalidRange": (RangeBehindEnd, ""),
    "BlobNotFound": (ObjectNotFound, ""),
    "ContainerNotFound": (StorageConfigurationError, CONTAINER),
    "ContainerDisabled": (StorageConfigurationError, "Enable the container."),
    "ContainerBeingDeleted": (StorageConfigurationError, CONTAINER),
    "InvalidResourceName": (StorageConfigurationError, CONTAINER),
    "Md5Mismatch": (ChecksumMismatch, AGAIN),
    "BlobBeingRehydrated": (StorageUnavailable, AGAIN),
    "BlobArchived": (
        StorageConfigurationError,
        "The blob is in the Archive tier: move it to Hot, Cool or Cold, and let no rule archive this prefix.",
    ),
    "BlobImmutableDueToPolicy": (StoragePermissionError, RETAINED),
    "BlobHasLegalHold": (StoragePermissionError, RETAINED),
    "AuthorizationFailure": (
        StoragePermissionError,
        "Look at AZURE_STORAGE_KEY or its kin, at the permissions of the SAS, and at the account's network rules.",
    ),
    "LeaseIdMissing": (StoragePermissionError, "Something holds a lease on it: end the lease."),
    # Another tool left blocks of an unfinished upload, whose ids have another length; Azure keeps them for seven days.
    # https://learn.microsoft.com/rest/api/storageservices/put-block#remarks
    "InvalidBlobOrBlock": (
        StorageConfigurationError,
        "Another program left an unfinished upload under this name: delete the blob or wait a week, until they expire.",
    ),
}
STATUSES: dict[int, tuple[type[StorageError], str]] = {
    401: (StoragePermissionError, CREDENTIALS),
    403: (StoragePermissionError, RIGHTS),
    404: (ObjectNotFound, ""),
    408: (StorageUnavailable, AGAIN),
    412: (KeyTaken, ""),
    416: (RangeBehindEnd, ""),
    429: (StorageUnavailable, AGAIN),
}
BAD_CREDENTIALS = ("AuthenticationFailed", "InvalidAuthenticationInfo", "NoAuthenticationInformation")


@contextmanager
def translated(doing: str) -> Iterator[None]:
    """Raise Azure's errors as errors of `recordings.errors`; any other error passes unchanged.

    Azure's error is not chained as the cause, because its text quotes the signed string and, with a SAS, whole URLs.
    """
    from azure.core.exceptions import AzureError

    try:
        yield
    except AzureError as error:
        raise _translate(doing, error) from None


def _translate(doing: str, error: Any) -> StorageError:
    response = getattr(error, "response", None)
    if response is None:
        return _unanswered(doing, error)
    status = response.status_code
    # An error of azure-identity has no error_code: only the storage client adds it.
    code = getattr(getattr(error, "error_code", None), "value", None) or response.headers.get("x-ms-error-code") or ""
    error_class, mend = _meaning(status, code)
    sentences = " ".join(filter(None, [code, _message(error), mend]))
    retry_after = parse_retry_after(response.headers.get("Retry-After"), utc_now())
    return error_class(f"Azure Blob Storage, {doing}: HTTP {status}, {sentences}", retry_after=retry_after)


def _meaning(status: int, code: str) -> tuple[type[StorageError], str]:
    if code in CODES:
        return CODES[code]
    if code in BAD_CREDENTIALS:
        return StoragePermissionError, CREDENTIALS
    if status in STATUSES:
        return STATUSES[status]
    if status >= 500:
        return StorageUnavailable, AGAIN
    return StorageConfigurationError, "Azure refuses the request as it is: look at STORAGE_URL and at the account."


def _unanswered(doing: str, error: BaseException) -> StorageError:
    """There was no answer: the network failed, or no credentials could be had."""
    from azure.core.exceptions import ClientAuthenticationError

    message = f"{type(error).__name__}: {_message(error)}"
    if isinstance(error, ClientAuthenticationError):
        return StoragePermissionError(f"Azure Blob Storage, {doing}: {message} {CREDENTIALS}")
    return StorageUnavailable(f"Azure Blob Storage, {doing}: {message} If the account's name is right, {AGAIN.lower()}")


def _message(error: Any) -> str:
    """The first line of Azure's message, without any signature; the later lines repeat the request."""
    lines = str(getattr(error, "message", error)).strip().splitlines()
    return re.sub(r"\?\S*|sig=\S*", "…", lines[0] if lines else "")[:300]
