"""What a backend's `put` may open: a recording at Vonage, or bytes of our own."""

from __future__ import annotations

import io
from collections.abc import Callable
from types import TracebackType
from typing import Self

from recordings.model import Recording

from . import formats
from .fetch import Fetcher
from .http_audio import HttpAudio


class RecordingSource:
    """One recording at Vonage, as a backend sees it: something to open. No key, token or URL leaves it.

    The response that `look` opened is handed on by the first `open`; each later one is a fresh request. A context
    manager: leaving it closes what is open.
    """

    def __init__(self, fetcher: Fetcher, recording: Recording, stopped: Callable[[], bool]) -> None:
        self._fetcher = fetcher
        self._recording = recording
        self._stopped = stopped
        self._looked: HttpAudio | None = None
        self.stream: HttpAudio | None = None  # the last one that was handed out
        self.size = recording.size

    def look(self) -> formats.Kind:
        """Start the transfer, where it has not started yet, and tell its format."""
        return self._start().kind

    def open(self) -> HttpAudio:
        """The stream, from its first byte."""
        self.stream, self._looked = self._start(), None
        return self.stream

    def _start(self) -> HttpAudio:
        if self._looked is None:
            url, announced = self._recording.recording_url, self._recording.size
            self._looked = self._fetcher.open(url, announced, stopped=self._stopped)
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


class BytesSource:
    """Bytes of our own: the sidecar's."""

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
