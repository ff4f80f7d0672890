"""The nightly list: once a day the whole catalogue lies in each store, as JSON Lines, beside the recordings.

Sidecars tell of recordings that are stored. The list also tells of those that are not, of empty ones, and of calls
without a recording. It is written while it is read, by one worker of all, in a thread of its own.
"""

from __future__ import annotations

import gzip
import io
import json
import logging
import re
import threading
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, date, datetime, time, timedelta
from types import TracebackType
from typing import Any, Self

from recordings.archive import integrity
from recordings.catalogue import nightly
from recordings.catalogue.database import Database
from recordings.catalogue.turns import NIGHTLY_LIST, take_turn
from recordings.clock import iso_utc, utc_now
from recordings.errors import CatalogueUnavailable, SourceError
from recordings.storage import StorageBackend

log = logging.getLogger(__name__)

LOOK_SECONDS = 1800.0  # between two looks of one worker whether a list is wanted
_TURN = timedelta(seconds=1500)  # less than that, so that a worker that died loses its turn

_FOLDER = "catalogue/"
_KEY = re.compile(_FOLDER + r"[0-9]{4}-[0-9]{2}-[0-9]{2}\.jsonl\.gz")
_TYPE = "application/gzip"
_PIECE = 64 * 1024  # bytes that are compressed before some are handed out


def is_list(key: str) -> bool:
    """Whether this is the key of a nightly list."""
    return _KEY.fullmatch(key) is not None


class NightlyLists:
    """Writes the list of the day that is over, and deletes all but the newest `days` lists; 0: writes none.

    `storages` are the backends by URL. A store that refuses a list for good is asked no more until the next start.
    """

    def __init__(
        self,
        database: Database,
        storages: Mapping[str, StorageBackend],
        start_thread: Callable[[str, Callable[[], None]], threading.Thread],
        *,
        days: int,
        version: str = "",
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        self._database = database
        self._storages = storages
        self._start_thread = start_thread
        self._days = days
        self._version = version
        self._clock = clock
        self._thread: threading.Thread | None = None
        self._stopping = threading.Event()
        self._refusing: set[str] = set()
        self._done: date | None = None

    def start(self) -> None:
        """Write what is wanted, in a thread of its own; nothing happens while that thread still runs."""
        busy = self._thread is not None and self._thread.is_alive()
        if self._days and not busy and not self._stopping.is_set() and self._done != self._yesterday():
            self._thread = self._start_thread("tapekeeper-nightly-list", self.write)

    def stop(self) -> None:
        """Break off; another worker, or the next start, writes the list."""
        self._stopping.set()

    def write(self) -> None:
        """Write yesterday's list into each store that lacks it, if it is this worker's turn."""
        try:
            now, day = self._clock(), self._yesterday()
            midnight = datetime.combine(day + timedelta(days=1), time(), UTC)
            is_wanted = nightly.announced_before(self._database, midnight)
            if is_wanted and take_turn(self._database, NIGHTLY_LIST, now, _TURN):
                outcomes = [self._write_into(url, day) for url in self._storages if url not in self._refusing]
                self._done = day if all(outcomes) else None
        except CatalogueUnavailable as error:
            log.warning("The nightly list of the catalogue waits: %s", error)

    def _yesterday(self) -> date:
        return (self._clock() - timedelta(days=1)).date()

    def _write_into(self, url: str, day: date) -> bool:
        """Whether nothing is left to do in this store."""
        backend, key = self._storages[url], f"{_FOLDER}{day}.jsonl.gz"
        try:
            if integrity.head(backend, key) is None:
                source = LinesSource(self._lines(day), self._stopping.is_set)
                integrity.put(backend, key, source, content_type=_TYPE, metadata={})
                log.info("The list of the catalogue of %s lies in %s as %s.", day, url, key)
        except CatalogueUnavailable:
            raise
        except (Exception, SystemExit) as error:  # whatever a stranger's backend raises; a plugin may exit
            return self._stopping.is_set() or self._note_failure(url, error)
        self._prune(url)
        return True

    def _note_failure(self, url: str, error: BaseException) -> bool:
        final = getattr(error, "retryable", True) is False
        if final:
            self._refusing.add(url)
        next_step = "It is tried again at the next start." if final else "It is tried again in half an hour."
        log.warning(
            "%s has no list of the catalogue of yesterday: %s. %s NIGHTLY_LIST_DAYS=0 turns these lists off.",
            *(url, str(error).rstrip(".") or type(error).__name__, next_step),
        )
        return final

    def _prune(self, url: str) -> None:
        """Delete the oldest lists. Where the store refuses, as under a retention policy, they stay for a day more."""
        backend = self._storages[url]
        try:
            keys = sorted(info.key for info in integrity.listed(backend, _FOLDER) if is_list(info.key))
            for key in keys[: -self._days]:
                backend.delete(key)
        except (Exception, SystemExit) as error:
            log.warning("Old lists of the catalogue stay in %s: %s", url, str(error) or type(error).__name__)

    def _lines(self, day: date) -> Iterable[dict[str, Any]]:
        about = {"day": str(day), "written_at": iso_utc(self._clock())}
        yield {"catalogue": about | {"written_by": f"tapekeeper {self._version}".strip()}}
        yield from nightly.whole_catalogue(self._database)


class LinesSource:
    """Objects as lines of JSON, compressed: an `AudioSource` whose size nobody knows before."""

    size: int | None = None

    def __init__(self, lines: Iterable[dict[str, Any]], stopped: Callable[[], bool]) -> None:
        self._lines = lines
        self._stopped = stopped

    def open(self) -> _LinesStream:
        """Begin. The lines can be read once."""
        return _LinesStream(self._lines, self._stopped)


class _LinesStream:
    """Reads a line when a reader wants more. Holds one piece in memory."""

    size: int | None = None
    content_type = _TYPE

    def __init__(self, lines: Iterable[dict[str, Any]], stopped: Callable[[], bool]) -> None:
        self._lines = iter(lines)
        self._stopped = stopped
        self._ready = io.BytesIO()
        self._zip: gzip.GzipFile | None = gzip.GzipFile(fileobj=self._ready, mode="wb", mtime=0)

    def read(self, n: int = -1, /) -> bytes:
        """As `AudioStream.read` promises. Raises `SourceError` when this process ends."""
        while self._zip is not None and (n < 0 or self._ready.tell() < n):
            self._fill(self._zip)
        data = self._ready.getvalue()
        cut = len(data) if n < 0 else n
        self._ready.seek(0)
        self._ready.truncate()
        self._ready.write(data[cut:])
        return data[:cut]

    def _fill(self, compressor: gzip.GzipFile) -> None:
        """Compress some lines more; after the last one the compressor ends."""
        written = 0
        for line in self._lines:
            if self._stopped():
                raise SourceError("This process ends.")
            written += compressor.write(json.dumps(line, ensure_ascii=False).encode() + b"\n")
            if written >= _PIECE:
                return
        compressor.close()
        self._zip = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._zip is not None:  # else it would end by itself, at any moment, into a buffer that is closed
            self._zip.close()
            self._zip = None
        close: Any = getattr(self._lines, "close", None)
        if close:
            close()
