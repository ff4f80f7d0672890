"""What a recording is, the states it passes through, the words that plugins use, and the error classes.

Plain values and protocols only: nothing here reads a database, a socket or the environment.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType, TracebackType
from typing import Any, Protocol, Self


class State(StrEnum):
    """The states of one copy; a recording shows the worst of its copies' states, or `empty`."""

    PENDING = "pending"
    FETCHING = "fetching"
    WAITING = "waiting"
    BLOCKED = "blocked"
    FAILED = "failed"
    STORED = "stored"
    EMPTY = "empty"


# From worst to best: the order in which copies speak for their recording.
WORST_FIRST = (State.FAILED, State.BLOCKED, State.WAITING, State.FETCHING, State.PENDING, State.STORED)


def worst(states: list[State]) -> State:
    """The state that a recording with copies in these states shows; no copies at all means `empty`."""
    return next((state for state in WORST_FIRST if state in states), State.EMPTY)


def conversation_key(conversation_uuid: str) -> str:
    """The form of a conversation id that joins events: lower case, without `CON-`.

    Live traffic carries `CON-<uuid>`, the webhook reference a bare uuid.
    https://developer.vonage.com/en/voice/voice-api/webhook-reference#record
    """
    return conversation_uuid.strip().lower().removeprefix("con-")


# --- What the webhooks hand to the catalogue -------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Delivery:
    """One webhook request as it arrived. `application_id` is the verified signature's, else (not `signed`) ours."""

    route: str
    method: str
    query: str
    content_type: str
    body: bytes
    application_id: str
    signed: bool
    jti: str | None = None


@dataclass(frozen=True, slots=True)
class Announcement:
    """A recording event, understood. `size` in bytes as announced; `origin` is `voice`, `rtc` or `asr`.

    `flow`, `format` and `channels` are what our own eventUrl told, None where it told nothing.
    """

    recording_uuid: str
    conversation_uuid: str
    recording_url: str
    size: int | None
    start_time: datetime | None
    end_time: datetime | None
    timestamp: datetime | None
    origin: str = "voice"
    flow: str | None = None
    format: str | None = None
    channels: int | None = None

    @property
    def empty(self) -> bool:
        """Nothing was recorded: no URL, or no bytes. https://github.com/Vonage/vonage-node-sdk/issues/132"""
        return not self.recording_url or self.size == 0


@dataclass(frozen=True, slots=True)
class CallEvent:
    """A call event, understood. `kind` is its status, or `transfer`, `input`, `notify`, `error`, `unknown`.

    A transfer names two conversations: it belongs to both.
    """

    kind: str
    conversation_uuids: tuple[str, ...]
    leg_uuid: str | None = None
    from_: str | None = None
    to: str | None = None
    direction: str | None = None
    timestamp: datetime | None = None


@dataclass(frozen=True, slots=True)
class Transcription:
    """A transcription event, understood; `url` is None when it failed."""

    recording_uuid: str
    conversation_uuid: str | None
    status: str
    url: str | None
    error: str | None = None


Event = Announcement | CallEvent | Transcription


@dataclass(frozen=True, slots=True)
class Accepted:
    """What became of a delivery once it was committed.

    `outcome`: `new` (a recording we did not know), `repeat`, `conflict` (known under other particulars: the first
    stands), or `noted` (no recording in it). `copy_ids` wait to be dispatched.
    """

    outcome: str
    copy_ids: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Call:
    """A call that asks what to do: the answer webhook's words, and what we are about to tell it.

    Plugins get it in `answer_call`. `params` holds every field of the request, unknown ones too; `call["from"]` works
    for the word that Python keeps for itself (`from_` here). `records`: whether the NCCO that it gets records.
    """

    conversation_uuid: str | None
    uuid: str | None
    from_: str | None
    to: str | None
    flow: str
    region_url: str | None = None
    endpoint_type: str | None = None
    from_user: str | None = None
    format: str | None = None
    channels: int | None = None
    records: bool = False
    params: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))

    def __getitem__(self, name: str) -> Any:
        return self.params[name]


# --- What the catalogue tells ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Copy:
    """One recording in one storage. Names and meanings are those of `flask recordings list --json`."""

    storage: str
    key: str | None
    state: State
    size: int | None
    sha256: str | None
    content_type: str | None
    attempts: int
    error: str | None
    stored_at: datetime | None
    next_attempt_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Recording:
    """A recording as the catalogue knows it: the event's words, the call's words where known, and its copies.

    `size` is the announced one, in bytes; the verified one stands in each copy. `from_`, `to`, `direction` and
    `region_url` come from the call and may be None, as may `flow`, `format` and `channels`.
    """

    application_id: str
    recording_uuid: str
    conversation_uuid: str
    recording_url: str
    state: State
    size: int | None
    start_time: datetime | None
    end_time: datetime | None
    received_at: datetime
    origin: str = "voice"
    flow: str | None = None
    format: str | None = None
    channels: int | None = None
    from_: str | None = None
    to: str | None = None
    direction: str | None = None
    region_url: str | None = None
    copies: tuple[Copy, ...] = ()


# --- What a storage backend is given and gives back ------------------------------------------------------------------


class AudioStream(Protocol):
    """An open source. A context manager: leaving it closes the connection."""

    @property
    def size(self) -> int | None:
        """The bytes that the sender promised (Content-Length), or None."""

    @property
    def content_type(self) -> str:
        """The media type, by the bytes."""

    def read(self, n: int = -1, /) -> bytes:
        """Exactly `n` bytes until the end, fewer only at the end, `b""` after it.

        Raises a `SourceError` in place of an end that is not the true one, so a backend may trust what it read.
        """

    def __enter__(self) -> Self: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class AudioSource(Protocol):
    """Where the bytes come from. A backend calls `open()` once inside `put`, and not at all if the key exists."""

    @property
    def size(self) -> int | None:
        """The bytes to expect, or None; the stream's own `size`, once it is open, is surer."""

    def open(self) -> AudioStream:
        """Start the transfer: an authorised request to Vonage that the backend never sees."""


@dataclass(frozen=True, slots=True)
class PutResult:
    """A store's own word on what it holds now. `created` is False when the key was there before: nothing was written.

    `sha256` is lower-case hex, or None where the backend did not compute one.
    """

    size: int
    sha256: str | None
    created: bool
    uri: str


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """A store's own word on one object. `checksums` maps `sha256`, `md5`, `crc32c` to lower-case hex, where known."""

    key: str
    size: int
    content_type: str | None = None
    checksums: Mapping[str, str] = field(default_factory=dict)
    metadata: Mapping[str, str] = field(default_factory=dict)
    uri: str | None = None


class StorageBackend(Protocol):
    """Where bytes rest. Any class with these methods is one; importing this is never needed.

    Every method may be called from several threads at once. An error with `retryable = False` is permanent, one with
    `blocked = True` is a fault that a person must mend (rights, a missing bucket); any other error is tried again.
    """

    @classmethod
    def from_url(cls, url: str, env: Mapping[str, str]) -> Self:
        """Make one from its `STORAGE_URL`. No request is made here. Raises with the setting's name when it is wrong."""

    def put(self, key: str, source: AudioSource, *, content_type: str, metadata: Mapping[str, str]) -> PutResult:
        """Store the whole source under `key`, or leave no trace.

        Create-only: when the key exists, also when it came to exist meanwhile, nothing is written and the result
        describes the object that is there, `created=False`. Errors of the source leave here unchanged.
        """

    def head(self, key: str) -> ObjectInfo:
        """What is under `key`. Raises an error whose class is named `ObjectNotFound`, or `FileNotFoundError`."""

    def get(self, key: str, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        """The bytes from `start` up to, not including, `end` (None: to the end), in pieces. Missing: as `head`."""

    def delete(self, key: str) -> None:
        """Remove it; a missing key is fine."""

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        """Every complete object whose key starts with `prefix`, in the order of the keys."""

    def signed_url(self, key: str, expires_in: int) -> str | None:
        """A URL that serves the object for `expires_in` seconds without other credentials, or None: cannot."""

    def check(self) -> None:
        """Raise, with the mend in the message, when the store cannot be used as configured."""

    def close(self) -> None:
        """Give connections back. Called once, at the end."""


# --- Errors ----------------------------------------------------------------------------------------------------------


class TapekeeperError(Exception):
    """Base of all. `retryable`: time may mend it; `blocked`: only a person will: tried slowly, shown loudly.

    `retry_after` is the other side's own wish, in seconds.
    """

    retryable = True
    blocked = False

    def __init__(self, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class CatalogueUnavailable(TapekeeperError):
    """The database cannot commit right now; nothing was acknowledged."""


class LeaseLost(TapekeeperError):
    """Another worker holds this copy now: stop, write nothing more."""


class SourceError(TapekeeperError):
    """Anything wrong on Vonage's side of a transfer."""


class SourceUnavailable(SourceError):
    """Not now: 404 before it is ready, 429, 5xx, a time-out, a reset."""


class SourceMissing(SourceUnavailable):
    """404 or 410: not there yet, not there any more, or asked for in the wrong region. Time tells which."""


class SourceTruncated(SourceUnavailable):
    """The body ended before all of it had come."""


class NotAudio(SourceUnavailable):
    """A page, a JSON error, an encoded or empty body where audio was expected."""


class SourceDenied(SourceError):
    """401 or 403, or a host that may not get our token: a configuration fault."""

    blocked = True


class SourceGone(SourceError):
    """The 30 days are over: there is nothing left to fetch."""

    retryable = False


class StorageError(TapekeeperError):
    """Anything wrong on the store's side."""


class StorageUnavailable(StorageError):
    """Not now: 408, 429, 5xx, a reset, a full disk."""


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
