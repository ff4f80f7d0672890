"""Stored audio as a file that can be read and sought, for libraries that want one.

Nothing here knows a store: the bytes come from a function that gives a range.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

READ_AHEAD = 256 * 1024  # bytes that are asked for at once: one request to a cloud storage


class SeekableAudio(io.RawIOBase):
    """A file of `size` bytes. `fetch(start, end)` gives the bytes from `start` up to, not including, `end`.

    Only one range of `READ_AHEAD` bytes is in memory. What `fetch` raises is put into `error`, and is the end of the
    file for its reader, because a library in C can pass no exception on. Whoever has read must look at `error`.
    """

    def __init__(self, size: int, fetch: Callable[[int, int], bytes], *, read_ahead: int = READ_AHEAD) -> None:
        super().__init__()
        self._size = size
        self._fetch = fetch
        self._read_ahead = read_ahead
        self._position = 0
        self._start, self._bytes = 0, b""  # the range in memory
        self.error: Exception | None = None

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        self._position = max(0, base + offset)
        return self._position

    def readinto(self, buffer: Any) -> int:
        """Fill the buffer; only at the end of the file fewer bytes are read: libsndfile takes fewer for the end."""
        view, filled = memoryview(buffer).cast("B"), 0
        while filled < len(view) and (ahead := self._ahead()):
            piece = ahead[: len(view) - filled]
            view[filled : filled + len(piece)] = piece
            filled += len(piece)
            self._position += len(piece)
        return filled

    def _ahead(self) -> memoryview:
        """The bytes in memory from the position on; those that are not there yet are fetched. No byte: the end."""
        offset = self._position - self._start
        if not 0 <= offset < len(self._bytes):
            self._bytes, self._start, offset = self._fetched(self._position), self._position, 0
        return memoryview(self._bytes)[offset:]

    def _fetched(self, start: int) -> bytes:
        end = min(start + self._read_ahead, self._size)
        if start >= end or self.error is not None:
            return b""
        try:
            piece = self._fetch(start, end)
        except Exception as error:
            self.error = error
            return b""
        if len(piece) != end - start:
            self.error = EOFError(f"the store gave {len(piece)} of the bytes from {start} up to {end} of {self._size}")
        return piece
