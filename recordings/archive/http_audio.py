"""An open download: it reports its end only when all of the audio has come, and it refuses a page in place of audio.

No request is made here; see `recordings.archive.fetch`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from types import TracebackType
from typing import Self

import requests
from urllib3 import HTTPResponse
from urllib3.exceptions import HTTPError, ReadTimeoutError

from recordings.errors import LeaseLost, NotAudio, SourceTruncated, SourceUnavailable

from . import formats

# A source that is slower than this on average, after the first two minutes, will not end in any useful time: speech
# alone is 4 KiB a second.
_LEAST_RATE = 4096
_GRACE_SECONDS = 120

# Any other text in Content-Encoding, such as a character set, does not encode the body.
# https://www.iana.org/assignments/http-parameters/http-parameters.xhtml#content-coding
_CODINGS = {"gzip", "x-gzip", "deflate", "br", "zstd", "compress", "x-compress", "dcb", "dcz", "exi", "pack200-gzip"}
_SECOND_LOOK_SECONDS = 60


class HttpAudio:
    """An open, checked transfer. `size` is its Content-Length or None; `kind` is the format of its first bytes.

    `received` and `sha256` describe the bytes that were handed out so far; `complete` is true once the true end was
    reached. `announced` is the size in the recording event; `stopped` is asked between two reads whether the copy's
    lease is lost; `ticks` is a clock in seconds; `silence` is the read time-out of `response` in seconds.
    `previous_error` is the message of the error that ended the attempt before this one: see `_check_size`.

    A backend gets this object. So it keeps the response's body and nothing that leads to the request, which carried
    the token.
    """

    def __init__(
        self,
        response: requests.Response,
        announced: int | None,
        stopped: Callable[[], bool],
        ticks: Callable[[], float],
        silence: float,
        previous_error: str | None = None,
    ) -> None:
        self._body: HTTPResponse = response.raw
        self._type = response.headers.get("Content-Type", "").split(";")[0].strip().lower()
        self._encoding = response.headers.get("Content-Encoding", "").strip().lower()
        self._chunked = "chunked" in response.headers.get("Transfer-Encoding", "").lower()
        self._announced = announced
        self._stopped = stopped
        self._ticks = ticks
        self._silence = silence
        self._previous_error = previous_error
        self._began = ticks()
        self._head = b""
        self._head_sha256 = ""
        self._foreign = ""
        self._from_network = 0
        self._digest = hashlib.sha256()
        length = response.headers.get("Content-Length", "")
        self.size = int(length) if length.isdecimal() and not self._chunked else None
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
        """Read the first bytes, once. Raises `NotAudio` for text, an encoded body, an empty body, or a doubtful one."""
        if _CODINGS.intersection(part.strip() for part in self._encoding.split(",")):
            raise NotAudio(f"Vonage sent the body encoded ({self._encoding[:40]}), which we asked it not to do.")
        self._head = self._fill(formats.HEAD)
        self._head_sha256 = hashlib.sha256(self._head).hexdigest()[:16]
        if not self._head:
            raise NotAudio("Vonage answered 200 with an empty body in place of audio.")
        is_text = formats.is_text(self._head)
        self.kind = formats.UNKNOWN if is_text else formats.audio_kind(self._head, self._type)
        if is_text or (self.kind is formats.UNKNOWN and formats.names_document(self._type)):
            raise NotAudio(f"Vonage answered 200 with a page ({self._type or 'no type'}) in place of audio.")
        self._foreign = formats.foreign_format(self._head, self._type)
        size = self._from_network if self.complete else self.size
        if size is not None:
            self._check_size(size)

    def _check_size(self, size: int) -> None:
        """Doubt an unknown format that seems to be no audio, or whose size is not at least half the announced one.

        The doubt ends when it comes the same twice in a row.

        It may be a page of a kind that nobody foresaw, or a file that Vonage had not finished; both change soon. What
        comes again with the same size and the same first bytes is what Vonage has. Raises `NotAudio`.
        """
        if self.kind is not formats.UNKNOWN:
            return
        if self._announced and 2 * size >= self._announced and not self._foreign:
            return
        announced = f"{self._announced} were announced" if self._announced else "no size was announced"
        seems = f" ({self._foreign}, it seems)" if self._foreign else ""
        doubt = (
            f"Vonage sent {size} bytes of no known audio format{seems} where {announced} "
            f"(SHA-256 of their beginning: {self._head_sha256}). It is stored if it comes the same at the next attempt."
        )
        if doubt != self._previous_error:
            raise NotAudio(doubt, retry_after=_SECOND_LOOK_SECONDS)

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
            # All promised bytes are here. A store may read exactly so many bytes, and never ask for the end.
            if self._from_network == self.size:
                self.complete = True
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def _piece(self, limit: int) -> bytes:
        if self._stopped():
            raise LeaseLost(
                "Stopped in mid-transfer: another worker has the copy now, or this process is shutting down."
            )
        piece, fault = self._receive(limit)
        if fault:
            raise fault
        self._from_network += len(piece)
        elapsed = self._ticks() - self._began
        if elapsed > _GRACE_SECONDS + self._from_network / _LEAST_RATE:
            raise SourceUnavailable(f"The transfer is too slow to end: {self._progress()} in {elapsed:.0f} s.")
        return piece

    def _receive(self, limit: int) -> tuple[bytes, SourceUnavailable | None]:
        """The next bytes, or the error to raise. It is raised outside `except`: see `recordings.archive.fetch`."""
        try:
            # One receive at a time: `read` would wait for all bytes from a source that sends slowly.
            return self._body.read1(limit, decode_content=False) or b"", None
        except ReadTimeoutError:
            return b"", SourceUnavailable(f"No byte came for {self._silence:g} s; {self._progress()}.")
        except (HTTPError, OSError, ValueError) as error:
            return b"", SourceTruncated(f"The transfer broke off; {self._progress()}: {short(error)}")

    def _end(self) -> None:
        # urllib3 cannot notice the early end of a body that has no length and is not chunked. The size in the recording
        # event is the only evidence then.
        expected = self.size
        if expected is None and not self._chunked:
            expected = self._announced or None
        if expected is not None and self._from_network < expected:
            raise SourceTruncated(f"The transfer ended early; {self._progress()}.")
        if self._head_sha256:  # else the end came within `look`, which checks the size itself
            self._check_size(self._from_network)
        self.complete = True

    def _progress(self) -> str:
        total = self.size if self.size is not None else self._announced
        return f"{self._from_network} of {'an unknown number of' if total is None else total} bytes came"

    def close(self) -> None:
        """Give the connection back to the pool when the body was read to its end, else cut it."""
        if self.complete:
            self._body.release_conn()
        self._body.close()
        self._body.release_conn()

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
