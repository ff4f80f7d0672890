"""`/api/recordings/export.csv` and `.jsonl`: what a filter chooses, as `flask recordings export` writes it.

The rows are read while they are sent. Few exports run at once: each holds a thread that pages wait for.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import chain, islice
from typing import Any

from flask import Response
from werkzeug.exceptions import ServiceUnavailable

from console.access import current_actor
from console.parts import Parts
from recordings.access import Action, Role
from recordings.catalogue.exports import as_csv, as_jsonl
from recordings.catalogue.search import RecordingFilter, RecordingRow, walk
from recordings.timeouts import Deadline, reading_until

from .filters import NumberConditions, filter_from
from .operations import Resource, View, needs

_AT_ONCE = 2
_FIRST_SECONDS = 8.0  # for the first rows, which are read before the answer
_CROWDED = "Too many exports run at this moment. Try again in a minute, or: flask recordings export"


def _documented(content_type: str) -> Callable[[View], View]:
    content = {content_type: {"schema": {"type": "string"}}}
    answer = {"200": {"description": "The recordings, newest first.", "content": content}}
    return Resource.doc(responses=answer)  # type: ignore[no-any-return]


def create_resource(parts: Parts, places: threading.BoundedSemaphore | None = None) -> Resource:
    """The two operations. `places`: the exports that may run at once."""
    resource = Resource("Export", "Everything that a filter chooses, in one answer. Each is noted in the audit.")
    exporter = _Exporter(parts, places or threading.BoundedSemaphore(_AT_ONCE))

    @resource.route("/recordings/export.csv", methods=["POST"])
    @needs(Role.LISTENER)
    @_documented("text/csv")
    @resource.arguments(NumberConditions)
    def export_csv(body: Mapping[str, Any]) -> Response:
        """The recordings as a table"""
        return exporter.answer(filter_from(body), as_csv, ".csv", "text/csv; charset=utf-8")

    @resource.route("/recordings/export.jsonl", methods=["POST"])
    @needs(Role.LISTENER)
    @_documented("application/jsonl")
    @resource.arguments(NumberConditions)
    def export_jsonl(body: Mapping[str, Any]) -> Response:
        """The recordings as JSON objects, one a line"""
        return exporter.answer(filter_from(body), as_jsonl, ".jsonl", "application/jsonl")

    return resource


class _Exporter:
    def __init__(self, parts: Parts, places: threading.BoundedSemaphore) -> None:
        self._parts = parts
        self._places = places

    def answer(
        self,
        filter: RecordingFilter,
        write: Callable[[Iterable[RecordingRow]], Iterator[bytes]],
        suffix: str,
        content_type: str,
    ) -> Response:
        """The export, which is noted first. 503 where too many run."""
        if not self._places.acquire(blocking=False):
            raise ServiceUnavailable(_CROWDED, retry_after=60)
        pieces = Pieces(self._places)
        try:
            self._parts.people.audit.note(current_actor(), Action.EXPORT, detail=suffix)
            with reading_until(Deadline(_FIRST_SECONDS)):
                pieces.begin(write(walk(self._parts.database, filter)))
        except BaseException:
            pieces.close()
            raise
        disposition = {"Content-Disposition": f'attachment; filename="recordings{suffix}"'}
        return Response(pieces, content_type=content_type, headers=disposition)


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
