"""What a backend's `put` may open: a recording at Vonage, a copy in another storage, or bytes of our own."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any, Protocol, Self

from recordings.errors import LeaseLost, SourceError
from recordings.model import Copy, Recording
from recordings.storage import AudioSource, StorageBackend

from . import formats
from .fetch import Fetcher
from .http_audio import HttpAudio
from .integrity import Witness


class Source(AudioSource, Protocol):
    """Where the audio of a copy comes from: an `AudioSource` that also says what it is and what it sent."""

    @property
    def stream(self) -> Witness | None:
        """The stream that was opened last."""

    def look(self) -> formats.Kind:
        """The audio's format, before a byte is stored. Raises a `SourceError`."""

    def expected(self, *, proven: bool) -> tuple[int | None, str | None] | None:
        """The size and SHA-256 that an object of this recording must have.

        `proven`: the store's own metadata and digest prove it already. Then None where the answer costs a download.
        """


class RecordingSource:
    """One recording at Vonage. A backend sees something to open, and never a key, token or URL.

    `previous_error` is the error that ended the attempt before this one. The response that `look` opened is handed on
    by the first `open`; each later `open` makes a fresh request. A context manager: leaving it closes what is open.
    """

    def __init__(
        self, fetcher: Fetcher, recording: Recording, stopped: Callable[[], bool], previous_error: str | None = None
    ) -> None:
        # A function, and not the fetcher: a backend gets this object, and the fetcher makes tokens.
        def request() -> HttpAudio:
            return fetcher.open(recording.recording_url, recording.size, stopped=stopped, previous_error=previous_error)

        self._request = request
        self._looked: HttpAudio | None = None
        self.stream: HttpAudio | None = None
        self.size = recording.size

    def look(self) -> formats.Kind:
        """Start the transfer, where it has not started yet, and return its format."""
        return self._start().kind

    def open(self) -> HttpAudio:
        """The stream, from its first byte."""
        self.stream, self._looked = self._start(), None
        return self.stream

    def expected(self, *, proven: bool) -> tuple[int, str] | None:
        """Measured by one more download, unless the object is proven already."""
        if proven:
            return None
        with self.open() as stream:
            while stream.read(1 << 20):
                pass
            return stream.received, stream.sha256

    def _start(self) -> HttpAudio:
        if self._looked is None:
            self._looked = self._request()
            self.size = self._looked.size
        return self._looked

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for stream in (self._looked, self.stream):
            if stream is not None:
                stream.close()


class CopyUnreadable(SourceError):
    """A stored copy that another copy was to be made of cannot be reached, is gone, or is damaged."""


class CopySource:
    """A stored copy, as another backend's `put` sees it."""

    def __init__(self, origin: StorageBackend, copy: Copy, stopped: Callable[[], bool]) -> None:
        self._origin = origin
        self._copy = copy
        self._stopped = stopped
        self.stream: CopyStream | None = None
        self.size = copy.size

    def look(self) -> formats.Kind:
        """The format that the catalogue knows."""
        return formats.of_content_type(self._copy.content_type)

    def open(self) -> CopyStream:
        """Start reading, from the first byte."""
        self.stream = CopyStream(self._origin, self._copy, self._stopped)
        return self.stream

    def expected(self, *, proven: bool) -> tuple[int | None, str | None]:
        """What the catalogue knows of the copy."""
        return self._copy.size, self._copy.sha256


class CopyStream:
    """The bytes of a stored copy. The stream ends only when they are the bytes that the catalogue knows."""

    def __init__(self, origin: StorageBackend, copy: Copy, stopped: Callable[[], bool]) -> None:
        self._copy = copy
        self._stopped = stopped
        self._origin = origin
        self._pieces: Iterator[bytes] | None = None
        self._rest = memoryview(b"")
        self._digest = hashlib.sha256()
        self.received = 0
        self.complete = False
        self.size = copy.size
        self.content_type = copy.content_type or formats.UNKNOWN.content_type

    @property
    def sha256(self) -> str:
        """The SHA-256 of the bytes read so far, in lower-case hex."""
        return self._digest.hexdigest()

    def read(self, n: int = -1, /) -> bytes:
        """Exactly `n` bytes until the end; `-1`: all that is left. Raises `CopyUnreadable` at a false end."""
        parts: list[memoryview] = []
        missing = n
        while missing:
            if not self._rest and not self._refill():
                break
            part = self._rest if n < 0 else self._rest[:missing]
            parts.append(part)
            self._rest = self._rest[len(part) :]
            missing -= len(part) if n >= 0 else 0
        return b"".join(parts)

    def _refill(self) -> bool:
        if self._stopped():
            raise LeaseLost("Stopped in mid-copy: another worker has the copy now, or this process is shutting down.")
        piece = self._piece()
        self._digest.update(piece)
        self.received += len(piece)
        self._rest = memoryview(piece)
        if not piece:
            self._end()
        return bool(piece)

    def _piece(self) -> bytes:
        try:
            if self._pieces is None:
                self._pieces = iter(self._origin.get(self._copy.key or ""))
            return next((piece for piece in self._pieces if piece), b"")
        except Exception as error:  # a plugin's backend may raise anything
            problem = str(error)
        raise CopyUnreadable(f"The copy in {self._copy.storage} cannot be read: {problem}")

    def _end(self) -> None:
        if (self.received, self.sha256) != (self._copy.size, self._copy.sha256):
            raise CopyUnreadable(
                f"The copy in {self._copy.storage} is damaged: {self._copy.key} has {self.received} bytes that are not "
                f"the {self._copy.size} that were stored."
            )
        self.complete = True

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        close: Any = getattr(self._pieces, "close", None)
        if close:
            close()


class BytesSource:
    """Bytes of our own, such as a sidecar's."""

    def __init__(self, data: bytes, content_type: str) -> None:
        self._data = data
        self._content_type = content_type
        self.size: int | None = len(data)

    def open(self) -> BytesStream:
        """A fresh stream over the same bytes."""
        return BytesStream(self._data, self._content_type)


class BytesStream(io.BytesIO):
    """An `AudioStream` over bytes in memory."""

    def __init__(self, data: bytes, content_type: str) -> None:
        super().__init__(data)
        self.size: int | None = len(data)
        self.content_type = content_type
