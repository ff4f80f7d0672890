"""The backend protocol: what a storage backend is given, and what it gives back.

Values and protocols only; a plugin needs to import none of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Protocol, Self


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
        """The bytes to expect, or None. Once the stream is open, its own `size` is more reliable."""

    def open(self) -> AudioStream:
        """Start the transfer: an authorised request to Vonage that the backend never sees."""


@dataclass(frozen=True, slots=True)
class PutResult:
    """What a store says it holds now. `created` is False when the key was there before: nothing was written.

    `sha256` is lower-case hex, or None where the backend did not compute one.
    """

    size: int
    sha256: str | None
    created: bool
    uri: str


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """What a store says about one object. `checksums` maps `sha256`, `md5`, `crc32c` to lower-case hex, where known."""

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
        """A URL that serves the object for `expires_in` seconds without other credentials; None: it cannot."""

    def check(self) -> None:
        """Raise, with the mend in the message, when the store cannot be used as configured."""

    def close(self) -> None:
        """Give connections back. Called once, at the end."""
