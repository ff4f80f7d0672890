"""A source to try a backend with: bytes that can be made anywhere and told apart, faults and gates.

For `plugins.contract` and for the authors of backends. Plain Python: nothing here knows a store or a test framework.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from functools import lru_cache
from types import TracebackType
from typing import Self

# A prime number of bytes, so that no power of two, and no chunk size of any store, maps the pattern onto itself.
PERIOD = 65_521


def body(seed: int, start: int, end: int) -> bytes:
    """Bytes `start` to `end` of the audio number `seed`: the same at every call, unlike those of any other seed."""
    pattern = _pattern(seed)
    offset = start % PERIOD
    copies = (offset + end - start) // len(pattern) + 1
    return (pattern if copies == 1 else pattern * copies)[offset : offset + max(end - start, 0)]


def sha256_of(seed: int, size: int) -> str:
    """Lower-case hex of `body(seed, 0, size)`, made piece by piece."""
    digest = hashlib.sha256()
    for piece in pieces(seed, size):
        digest.update(piece)
    return digest.hexdigest()


def pieces(seed: int, size: int, length: int = 1024 * 1024) -> Iterator[bytes]:
    """`body(seed, 0, size)` in pieces of `length`."""
    for start in range(0, size, length):
        yield body(seed, start, min(start + length, size))


@lru_cache(maxsize=4)
def _pattern(seed: int) -> bytes:
    block = hashlib.shake_256(str(seed).encode()).digest(PERIOD)
    return block * 17  # a little over 1 MiB: a usual read is one slice


class FakeSource:
    """An `AudioSource` of `size` bytes of audio number `seed`.

    `promised` is the Content-Length that the stream claims (None: none, as with a chunked reply). `error` is raised by
    the read that would pass `fails_at` bytes, or by `open()` when `fails_at` is None. `on_read(position)` is called
    before each read, in the backend's own thread. What the backend did is in `opens`, `reads`, `ended` and `closed`.
    """

    def __init__(
        self,
        size: int,
        *,
        seed: int = 0,
        promised: bool = True,
        error: Exception | None = None,
        fails_at: int | None = None,
        on_read: Callable[[int], None] | None = None,
    ) -> None:
        self.size: int | None = size if promised else None
        self.length = size
        self.seed = seed
        self.error = error
        self.fails_at = fails_at
        self.on_read = on_read
        self.opens = 0
        self.reads: list[int] = []
        self.ended = False
        self.closed = False

    def open(self) -> FakeStream:
        """Start the transfer, or raise `error`."""
        self.opens += 1
        if self.error and self.fails_at is None:
            raise self.error
        return FakeStream(self)


class FakeStream:
    """The open `FakeSource`; reads exactly what was asked for until the end."""

    content_type = "audio/mpeg"

    def __init__(self, source: FakeSource) -> None:
        self.size = source.size
        self._source = source
        self._position = 0

    def read(self, n: int = -1, /) -> bytes:
        source = self._source
        source.reads.append(n)
        if source.on_read:
            source.on_read(self._position)
        end = source.length if n < 0 else min(self._position + n, source.length)
        if source.error and source.fails_at is not None and (end > source.fails_at or end == source.length):
            raise source.error
        piece = body(source.seed, self._position, end)
        source.ended = source.ended or n < 0 or len(piece) < n
        self._position = end
        return piece

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._source.closed = True
