"""The bodies of audio replies: short ones are read before the answer, long ones go through piece by piece.

Each wait for a store ends within seconds: a store that hangs must not keep a thread of the web process.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from recordings.errors import StorageUnavailable
from recordings.storage import StorageBackend
from recordings.timeouts import TimeLimit

from .ranges import Part

log = logging.getLogger(__name__)

MOST_BYTES = 1024 * 1024  # of a short reply


class TooManyLongReplies(Exception):
    """As many long replies run as may run at once."""


@dataclass(frozen=True)
class AudioLimits:
    """What the replies of one process may take: the time of each wait for a store, and the long replies at once."""

    store: TimeLimit = field(default_factory=lambda: TimeLimit(4.0))
    long_replies: threading.BoundedSemaphore = field(default_factory=lambda: threading.BoundedSemaphore(4))


def read_whole(backend: StorageBackend, key: str, part: Part) -> bytes:
    """All bytes of a short part. Raises what the store raises, and `StorageUnavailable` for a wrong number of them."""
    pieces, received = [], 0
    for piece in backend.get(key, part.start, part.end) if part.length else ():
        pieces.append(piece)
        received += len(piece)
        _check(key, part, received)
    _check(key, part, received, ended=True)
    return b"".join(pieces)


class LongBody:
    """An iterator over the bytes of a part, which is to be closed. Its first piece is there once it is made.

    So whatever the store says to the first request is known before the answer. What happens later breaks the
    connection off: the client has fewer bytes than Content-Length promised. Raises `TooManyLongReplies`.
    """

    def __init__(self, backend: StorageBackend, key: str, part: Part, limits: AudioLimits) -> None:
        if not limits.long_replies.acquire(blocking=False):
            raise TooManyLongReplies
        self._places: threading.BoundedSemaphore | None = limits.long_replies
        self._limit = limits.store
        self._key, self._part, self._received = key, part, 0
        self._pieces: Iterator[bytes] = iter(())
        try:
            self._pieces = iter(self._limit.call(lambda: backend.get(key, part.start, part.end)))
            self._first: bytes | None = self._next()
        except BaseException:
            self.close()
            raise

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        try:
            piece, self._first = self._first, None
            return piece or self._next()
        except Exception as error:  # whatever a stranger's backend raises
            if not isinstance(error, StopIteration):
                log.warning("A download of %s broke off: %s", self._key, str(error) or type(error).__name__)
            self.close()
            raise

    def close(self) -> None:
        """Give the place back to another long reply, and the connection back to the store."""
        places, self._places = self._places, None
        if places is not None:
            places.release()
        pieces: Any = self._pieces
        with suppress(Exception):  # a generator that another thread still waits in cannot be closed
            getattr(pieces, "close", lambda: None)()

    def _next(self) -> bytes:
        piece = b""
        while not piece:  # a store may give empty pieces
            following = self._limit.call(lambda: next(self._pieces, None))
            if following is None:
                _check(self._key, self._part, self._received, ended=True)
                raise StopIteration
            piece = following
        self._received += len(piece)
        _check(self._key, self._part, self._received)
        return piece


def _check(key: str, part: Part, received: int, *, ended: bool = False) -> None:
    if received > part.length or (ended and received < part.length):
        raise StorageUnavailable(f"It gave {received} bytes of {key} instead of {part.length}.")
