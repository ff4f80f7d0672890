"""A source of audio to try a backend with: its bytes are known in advance, and it can fail or wait on purpose.

For `plugins.checks` and for the authors of backends. Plain Python: nothing here knows a store or a test framework.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from functools import lru_cache
from types import TracebackType
from typing import Self

# The pattern repeats after a prime number of bytes: no two chunks whose size is a power of two look alike by chance.
PERIOD = 65_521


def body(seed: int, start: int, end: int) -> bytes:
    """Bytes `start` to `end` of the audio number `seed`: the same at every call, and different for every seed."""
    pattern = _pattern(seed)
    offset = start % PERIOD
    copies = (offset + end - start) // len(pattern) + 1
    return (pattern if copies == 1 else pattern * copies)[offset : offset + max(end - start, 0)]


def sha256_of(seed: int, size: int) -> str:
    """The sha256 of `body(seed, 0, size)` in lower-case hex."""
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
    return block * 17  # a little more than 1 MiB, so that most reads are one slice


class FakeSource:
    """An `AudioSource` of `size` bytes of audio number `seed`.

    With `promised` the stream knows its size in advance; without it the size is None, as in a chunked response. `error`
    is raised by the read that would pass `fails_at` bytes, or by `open()` when `fails_at` is None. `on_read(position)`
    is called before each read, in the thread of the backend. `opens`, `reads`, `ended` and `closed` record what the
    backend did.
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
    """The open `FakeSource`; each read gives exactly as many bytes as it asks for, until the end."""

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
