"""What proves that a store holds a recording: the store's own words, and how they are made to agree.

A stranger's backend may answer with objects or with mappings, and names its missing-key error as it likes within the
contract; both are translated here.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from recordings.errors import ChecksumMismatch
from recordings.storage import AudioSource, ObjectInfo, PutResult, StorageBackend

from . import formats
from .http_audio import HttpAudio


@dataclass(frozen=True, slots=True)
class Stored:
    """What an attempt proved to be in the store; `result.sha256` is never None."""

    key: str
    kind: formats.Kind
    result: PutResult


def put(
    backend: StorageBackend, key: str, source: AudioSource, *, content_type: str, metadata: Mapping[str, str]
) -> PutResult:
    """The backend's `put`, its answer in our words."""
    word: Any = backend.put(key, source, content_type=content_type, metadata=metadata)
    return PutResult(
        size=_told(word, "size"),
        sha256=_told(word, "sha256", None),
        created=_told(word, "created"),
        uri=_told(word, "uri", key),
    )


def head(backend: StorageBackend, key: str) -> ObjectInfo | None:
    """The backend's `head`, its answer in our words; None when there is no such object."""
    try:
        word: Any = backend.head(key)
    except Exception as error:
        # A stranger's backend need not import our class: its name is the contract.
        if isinstance(error, FileNotFoundError) or type(error).__name__ == "ObjectNotFound":
            return None
        raise
    return _info(key, word)


def listed(backend: StorageBackend, prefix: str = "") -> Iterator[ObjectInfo]:
    """The backend's `list`, its answers in our words."""
    word: Any
    for word in backend.list(prefix):
        yield _info(_told(word, "key"), word)


def _info(key: str, word: Any) -> ObjectInfo:
    return ObjectInfo(
        key=key,
        size=_told(word, "size"),
        content_type=_told(word, "content_type", None),
        checksums=_told(word, "checksums", None) or {},
        metadata=_told(word, "metadata", None) or {},
        uri=_told(word, "uri", None),
    )


class Witness(Protocol):
    """What a stream tells of the bytes that it handed out."""

    @property
    def received(self) -> int: ...
    @property
    def sha256(self) -> str: ...
    @property
    def complete(self) -> bool: ...


def agree(key: str, stream: Witness, result: PutResult, there: ObjectInfo | None) -> None:
    """Raise `ChecksumMismatch` unless what the source sent, what `put` said and what `head` says are one."""
    if there is None:
        raise ChecksumMismatch(f"{key}: the store reported success, and then knew no such object.")
    if not stream.complete:
        raise ChecksumMismatch(f"{key}: the store reported success, but did not read the source to its end.")
    if len({stream.received, result.size, there.size}) > 1:
        raise ChecksumMismatch(
            f"{key}: the source sent {stream.received} bytes, the store said {result.size}, then {there.size}."
        )
    if len({stream.sha256, result.sha256 or stream.sha256, there.checksums.get("sha256", stream.sha256)}) > 1:
        raise ChecksumMismatch(f"{key}: the store's SHA-256 is not that of the bytes that the source sent.")


def read_back(backend: StorageBackend, key: str) -> tuple[int, str]:
    """Size and SHA-256 of the object as it reads now."""
    digest, size = hashlib.sha256(), 0
    for piece in backend.get(key):
        digest.update(piece)
        size += len(piece)
    return size, digest.hexdigest()


def read_source(stream: HttpAudio) -> tuple[int, str]:
    """Size and SHA-256 of a download that nobody keeps."""
    with stream:
        while stream.read(1 << 20):
            pass
        return stream.received, stream.sha256


_REQUIRED = object()


def _told(word: Any, name: str, default: Any = _REQUIRED) -> Any:
    value = word.get(name, default) if isinstance(word, Mapping) else getattr(word, name, default)
    if value is _REQUIRED:
        raise ChecksumMismatch(f"The storage backend's answer lacks {name!r}, so nothing proves what it holds.")
    return value
