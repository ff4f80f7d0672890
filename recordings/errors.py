"""The error classes of the heart. The class says what follows: tried again, blocked until a person acts, or final."""

from __future__ import annotations


class TapekeeperError(Exception):
    """The base of all our errors. The class says whether another attempt makes sense.

    `retryable`: another attempt may succeed. `blocked`: only a person can mend the cause, so attempts are rare and the
    error is shown prominently. `retry_after` is the wait in seconds that the other server asked for.
    """

    retryable = True
    blocked = False

    def __init__(self, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class CatalogueUnavailable(TapekeeperError):
    """The database cannot commit right now; nothing was acknowledged."""


class InvalidInput(TapekeeperError):
    """What a person or a program gave cannot be used. The message says what would be right, and quotes no secret."""

    retryable = False


class LeaseLost(TapekeeperError):
    """Another worker holds this copy now: stop, write nothing more."""


class SourceError(TapekeeperError):
    """Anything wrong on Vonage's side of a transfer."""


class SourceUnavailable(SourceError):
    """Vonage cannot send the file now: 404 before it is ready, 429, 5xx, a time-out, a reset."""


class SourceMissing(SourceUnavailable):
    """404 or 410: the file is not there yet, is gone, or is in another region. Only later attempts show which."""


class SourceTruncated(SourceUnavailable):
    """The body ended before all of it had come."""


class NotAudio(SourceUnavailable):
    """A page, a JSON error, an encoded or empty body where audio was expected."""


class SourceDenied(SourceError):
    """401 or 403, or a host that may not get our token: a configuration fault."""

    blocked = True


class StorageError(TapekeeperError):
    """Anything wrong on the store's side."""


class StorageUnavailable(StorageError):
    """The store cannot be used now: 408, 429, 5xx, a reset, a full disk."""


class ChecksumMismatch(StorageUnavailable):
    """The store holds other bytes than were sent."""


class StorageConfigurationError(StorageError):
    """A wrong URL, a missing bucket: a person must mend it."""

    blocked = True


class StoragePermissionError(StorageConfigurationError):
    """The store refused our credentials, or the object is under retention."""


class ObjectNotFound(StorageError):
    """No object under this key."""

    retryable = False


class ObjectExists(StorageError):
    """The key holds another recording's object."""

    retryable = False


class InvalidKey(StorageError):
    """A key outside the grammar that is safe in every store; see `recordings.keys`."""

    retryable = False
