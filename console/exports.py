"""Exports through us: lines that are read while they are sent. Few run at once, whatever they hold and whoever asks.

Each holds a thread that pages wait for. Who may export what, and the note of it in the audit, is up to whoever calls
this.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from itertools import chain, islice

from flask import Response
from werkzeug.exceptions import ServiceUnavailable

from recordings.timeouts import Deadline, reading_until

_AT_ONCE = 2
_FIRST_SECONDS = 8.0  # for the first rows, which are read before the answer
_CROWDED = "Too many exports run at this moment. Try again in a minute."


class Exports:
    """The exports of one process, of pages and API together: two at once, unless other `places` are given."""

    def __init__(self, places: threading.BoundedSemaphore | None = None) -> None:
        self._places = places or threading.BoundedSemaphore(_AT_ONCE)

    def answer(
        self, note: Callable[[], None], lines: Callable[[], Iterator[bytes]], *, file_name: str, content_type: str
    ) -> Response:
        """The lines as a file, once `note` has written who asks for it. 503 where too many exports run."""
        if not self._places.acquire(blocking=False):
            raise ServiceUnavailable(_CROWDED, retry_after=60)
        pieces = Pieces(self._places)
        try:
            note()
            with reading_until(Deadline(_FIRST_SECONDS)):
                pieces.begin(lines())
        except BaseException:
            pieces.close()
            raise
        headers = {"Content-Disposition": f'attachment; filename="{file_name}"'}
        return Response(pieces, content_type=content_type, headers=headers)


class Pieces:
    """An export in pieces of so many lines each. Its end gives its place back."""

    def __init__(self, places: threading.BoundedSemaphore, *, lines: int = 200) -> None:
        self._places: threading.BoundedSemaphore | None = places
        self._lines = lines
        self._pieces: Iterator[bytes] = iter(())

    def begin(self, lines: Iterator[bytes]) -> None:
        """Read the first piece, so that a catalogue that is away is a 503 and not half an answer."""
        pieces = iter(lambda: b"".join(islice(lines, self._lines)), b"")
        self._pieces = chain([next(pieces, b"")], pieces)

    def __iter__(self) -> Iterator[bytes]:
        return self._pieces

    def close(self) -> None:
        """The answer is sent, or broken off."""
        places, self._places = self._places, None
        if places is not None:
            places.release()
