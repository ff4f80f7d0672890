"""Proves that a storage holds a recording: compares what was sent with what the storage answers.

A plugin's backend may answer with objects or with mappings, and its error for a missing key may be any class with the
right name; both are translated here.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from recordings.errors import ChecksumMismatch
from recordings.storage import AudioSource, ObjectInfo, PutResult, StorageBackend

from . import formats


@dataclass(frozen=True, slots=True)
class Stored:
    """An object that an attempt proved to be in the store; `result.sha256` is never None."""

    key: str
    kind: formats.Kind
    result: PutResult


def put(
    backend: StorageBackend, key: str, source: AudioSource, *, content_type: str, metadata: Mapping[str, str]
) -> PutResult:
    """The backend's `put`, its answer as a `PutResult`."""
    answer: Any = backend.put(key, source, content_type=content_type, metadata=metadata)
    return PutResult(
        size=_field(answer, "size"),
        sha256=_field(answer, "sha256", None),
        created=_field(answer, "created"),
        uri=_address(answer) or key,
    )


def head(backend: StorageBackend, key: str) -> ObjectInfo | None:
    """The backend's `head`, its answer as an `ObjectInfo`; None when there is no such object."""
    try:
        answer: Any = backend.head(key)
    except Exception as error:
        if is_missing(error):
            return None
        raise
    return _info(key, answer)


def is_missing(error: BaseException) -> bool:
    """Whether a backend says by this error that there is no such object."""
    # A stranger's backend need not import our class: its name is the contract.
    return isinstance(error, FileNotFoundError) or type(error).__name__ == "ObjectNotFound"


def listed(backend: StorageBackend, prefix: str = "") -> Iterator[ObjectInfo]:
    """The backend's `list`, its answers as `ObjectInfo`."""
    answer: Any
    for answer in backend.list(prefix):
        yield _info(_field(answer, "key"), answer)


def _info(key: str, answer: Any) -> ObjectInfo:
    return ObjectInfo(
        key=key,
        size=_field(answer, "size"),
        content_type=_field(answer, "content_type", None),
        checksums=_field(answer, "checksums", None) or {},
        metadata=_field(answer, "metadata", None) or {},
        uri=_address(answer),
    )


class Witness(Protocol):
    """What a stream knows of the bytes that it handed out."""

    @property
    def received(self) -> int: ...
    @property
    def sha256(self) -> str: ...
    @property
    def complete(self) -> bool: ...


def agree(key: str, stream: Witness, result: PutResult, info: ObjectInfo | None) -> None:
    """Raise `ChecksumMismatch` unless the source's bytes, the answer to `put` and that to `head` are the same."""
    if info is None:
        raise ChecksumMismatch(f"{key}: the store reported success, and then knew no such object.")
    if not stream.complete:
        raise ChecksumMismatch(f"{key}: the store reported success, but did not read the source to its end.")
    if len({stream.received, result.size, info.size}) > 1:
        raise ChecksumMismatch(
            f"{key}: the source sent {stream.received} bytes, the store said {result.size}, then {info.size}."
        )
    if len({stream.sha256, result.sha256 or stream.sha256, info.checksums.get("sha256", stream.sha256)}) > 1:
        raise ChecksumMismatch(f"{key}: the store's SHA-256 is not that of the bytes that the source sent.")


def read_back(backend: StorageBackend, key: str, check: Callable[[], None] = lambda: None) -> tuple[int, str]:
    """Size and SHA-256 of the object as it reads now. `check` is called at each piece, and may raise."""
    digest, size = hashlib.sha256(), 0
    for piece in backend.get(key):
        check()
        digest.update(piece)
        size += len(piece)
    return size, digest.hexdigest()


_REQUIRED = object()
_LONGEST_ADDRESS = 4096  # characters


def _field(answer: Any, name: str, default: Any = _REQUIRED) -> Any:
    value = answer.get(name, default) if isinstance(answer, Mapping) else getattr(answer, name, default)
    if value is _REQUIRED:
        raise ChecksumMismatch(f"The storage backend's answer lacks {name!r}, so nothing proves what it holds.")
    return value


def _address(answer: Any) -> str | None:
    """What the store calls the object, which only informs people; None for what no database can hold."""
    uri = _field(answer, "uri", None)
    return uri if isinstance(uri, str) and uri.isprintable() and len(uri) <= _LONGEST_ADDRESS else None
