"""An open download: it reports its end only when all of the audio has come, and it refuses a page in place of audio.

No request is made here; see `recordings.archive.fetch`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from types import TracebackType
from typing import Self

import requests
from urllib3.exceptions import HTTPError, ReadTimeoutError

from recordings.errors import LeaseLost, NotAudio, SourceTruncated, SourceUnavailable

from . import formats

# A source that is slower than this on average, after the first two minutes, will not end in any useful time: speech
# alone is 4 KiB a second.
_LEAST_RATE = 4096
_GRACE_SECONDS = 120


class HttpAudio:
    """An open, checked transfer. `size` is its Content-Length or None; `kind` is the format of its first bytes.

    `received` and `sha256` describe the bytes that were handed out so far; `complete` is true once the true end was
    reached. `announced` is the size in the recording event; `stopped` is asked between two reads whether the copy's
    lease is lost; `ticks` is a clock in seconds; `silence` is the longest time without a byte that `response` bears.
    """

    def __init__(
        self,
        response: requests.Response,
        announced: int | None,
        stopped: Callable[[], bool],
        ticks: Callable[[], float],
        silence: float,
    ) -> None:
        self._response = response
        self._announced = announced
        self._stopped = stopped
        self._ticks = ticks
        self._silence = silence
        self._began = ticks()
        self._head = b""
        self._from_network = 0
        self._digest = hashlib.sha256()
        self.size = _content_length(response)
        self.kind = formats.UNKNOWN
        self.received = 0
        self.complete = False

    @property
    def content_type(self) -> str:
        """The media type, by the bytes and not by the header."""
        return self.kind.content_type

    @property
    def sha256(self) -> str:
        """The SHA-256 of the bytes handed out so far, in lower-case hex."""
        return self._digest.hexdigest()

    def look(self) -> None:
        """Read the first bytes, once. Raises `NotAudio` for a page, an encoded body or an empty body."""
        header = self._response.headers.get("Content-Type", "").split(";")[0].strip().lower()
        encoding = self._response.headers.get("Content-Encoding", "identity").strip().lower()
        if encoding not in ("", "identity"):
            raise NotAudio(f"Vonage sent the body encoded ({encoding[:40]}), which we asked it not to do.")
        self._head = self._fill(formats.HEAD)
        if not self._head:
            raise NotAudio("Vonage answered 200 with an empty body in place of audio.")
        if header in ("text/html", "application/json", "application/problem+json") or formats.is_page(self._head):
            raise NotAudio(f"Vonage answered 200 with a page ({header or 'no type'}) in place of audio.")
        self.kind = formats.audio_kind(self._head)

    def read(self, n: int = -1, /) -> bytes:
        """Exactly `n` bytes until the end; `-1`: all that is left. Raises a `SourceError` at a false end."""
        if n < 0:
            return b"".join(iter(lambda: self.read(1 << 20), b""))
        head, self._head = self._head[:n], self._head[n:]
        data = head + self._fill(n - len(head)) if len(head) < n else head
        self.received += len(data)
        self._digest.update(data)
        return data

    def _fill(self, n: int) -> bytes:
        """`n` bytes from the network; fewer only where the end was reached and checked."""
        pieces: list[bytes] = []
        missing = n
        while missing and not self.complete:
            piece = self._piece(missing)
            if not piece:
                self._end()
            pieces.append(piece)
            missing -= len(piece)
            # All promised bytes are here: a store that reads exactly so many bytes never asks for the end itself.
            self.complete = self.complete or self._from_network == self.size
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def _piece(self, limit: int) -> bytes:
        if self._stopped():
            raise LeaseLost(
                "Stopped in mid-transfer: another worker has the copy now, or this process is shutting down."
            )
        try:
            # One receive at a time: `read` would wait for all bytes from a source that sends slowly.
            piece = self._response.raw.read1(limit, decode_content=False) or b""
        except ReadTimeoutError as error:
            raise SourceUnavailable(f"No byte came for {self._silence:g} s; {self._progress()}.") from error
        except (HTTPError, OSError, ValueError) as error:
            raise SourceTruncated(f"The transfer broke off; {self._progress()}: {short(error)}") from error
        self._from_network += len(piece)
        elapsed = self._ticks() - self._began
        if elapsed > _GRACE_SECONDS + self._from_network / _LEAST_RATE:
            raise SourceUnavailable(f"The transfer is too slow to end: {self._progress()} in {elapsed:.0f} s.")
        return piece

    def _end(self) -> None:
        # urllib3 cannot notice the early end of a body that has no length and is not chunked. The size in the recording
        # event is the only evidence then.
        expected = self.size
        if expected is None and not _chunked(self._response):
            expected = self._announced or None
        if expected is not None and self._from_network < expected:
            raise SourceTruncated(f"The transfer ended early; {self._progress()}.")
        self.complete = True

    def _progress(self) -> str:
        total = self.size if self.size is not None else self._announced
        return f"{self._from_network} of {'an unknown number of' if total is None else total} bytes came"

    def close(self) -> None:
        """Give the connection back to the pool when the body was read to its end, else cut it."""
        if self.complete:
            self._response.raw.release_conn()
        self._response.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def short(error: BaseException) -> str:
    """The error's inner reason, where there is one: the messages that urllib3 wraps around it quote the whole URL."""
    cause = getattr(error.args[0], "reason", None) if error.args else None
    cause = cause if isinstance(cause, Exception) else error
    return f"{type(cause).__name__}: {cause}"[:300]


def _content_length(response: requests.Response) -> int | None:
    if _chunked(response):
        return None
    value = response.headers.get("Content-Length", "")
    return int(value) if value.isdecimal() else None


def _chunked(response: requests.Response) -> bool:
    return "chunked" in response.headers.get("Transfer-Encoding", "").lower()
