"""The checks behind `/readyz`: the database, the storages, the disks' free space, the workers.

A check raises what is wrong, or returns a warning, or None. When the checks run, and who sees the results, is decided
in `readiness` and `console`.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from urllib.parse import unquote_to_bytes, urlsplit

from recordings import disk
from recordings.catalogue.database import Database
from recordings.catalogue.schedule import Schedule
from recordings.catalogue.workers import LIVE_SECONDS, Workers
from recordings.errors import CatalogueUnavailable, StorageUnavailable
from recordings.storage import StorageBackend
from recordings.timeouts import Deadline

Reserve = Callable[[int], int]

_WELL_BEFORE = 3  # a disk with less free space than so many times its reserve gets a warning

OVERDUE_SECONDS = 600  # a due copy that waits for longer finds no worker, or too few of them
_GRACE_SECONDS = 30  # no worker may live for so long: workers may be restarting
_DATABASE_SECONDS = 5.0
_NONE_SEEN = (
    f"No worker was seen yet. If none is seen within {_GRACE_SECONDS} s, nothing is archived: see flask worker."
)


class Unusable(Exception):
    """What a check found to be wrong; the message says what to do."""


def database_works(database: Database) -> str | None:
    """The database can be written, and the disk of a SQLite file has room."""
    database.try_write(Deadline(_DATABASE_SECONDS))
    return room_left(Path(database.url.database or "")) if database.sqlite else None


def storage_works(url: str, backend: StorageBackend, reserve: Reserve = disk.reserve) -> str | None:
    """The storage can be used as configured, and the disk of a folder has room."""
    backend.check()
    folder = folder_of(url)
    return room_left(folder, reserve) if folder else None


def folder_of(url: str) -> Path | None:
    """The folder of a `file://` storage; None for any other storage."""
    parts = urlsplit(url)
    return Path(os.fsdecode(unquote_to_bytes(parts.path))) if parts.scheme == "file" else None


def threads_run(broken_off: Mapping[str, str]) -> None:
    """Raise `Unusable` where threads of this process broke off lately; `broken_off` gives the error of each by name."""
    if broken_off:
        names = ", ".join(sorted(broken_off))
        raise Unusable(f"Threads broke off and were started again: {names}. The log of this process tells why.")


def room_left(
    path: Path, reserve: Reserve = disk.reserve, space: Callable[[Path], disk.Space] = disk.space
) -> str | None:
    """A warning when the disk of this file or folder gets full. Raises `StorageUnavailable` at the end of its reserve.

    `reserve` gives the bytes that are kept free, by the disk's size; see `recordings.disk`.
    """
    free, total = space(next(known for known in (path, *path.parents) if known.exists()))
    least = reserve(total)
    if not total or free >= _WELL_BEFORE * least:
        return None
    mend = "Free some space or enlarge the volume."
    if free < least:
        raise StorageUnavailable(
            f"The disk of {path} has less than {_mebibytes(least)} free: no audio is written any more, so that there "
            f"is room for the catalogue. {mend}"
        )
    limits = f"has less than {_mebibytes(_WELL_BEFORE * least)} free; below {_mebibytes(least)} no audio is written"
    return f"The disk of {path} {limits}. {mend}"


def _mebibytes(size: int) -> str:
    return f"{size // disk.MIB} MiB"


class Archiving:
    """Whether copies that are due find a worker. A database that is away is not judged here: it has its own check.

    `standing_by` gives what keeps the worker of this process from starting, or None.
    """

    def __init__(
        self,
        workers: Workers,
        schedule: Schedule,
        standing_by: Callable[[], str | None] = lambda: None,
        *,
        ticks: Callable[[], float] = time.monotonic,
    ) -> None:
        self._workers = workers
        self._schedule = schedule
        self._standing_by = standing_by
        self._ticks = ticks
        self._alone_since: float | None = None

    def __call__(self) -> str | None:
        """Raise `Unusable` when no worker lives, or when a copy has been due for too long.

        For the first 30 s without a worker that is only a warning: a host that waits for `/readyz` before it starts the
        next process, or a restart of the workers, must not fail for it.
        """
        deadline = Deadline(_DATABASE_SECONDS)
        try:
            living, (_, seconds) = self._workers.living(deadline), self._schedule.overdue(deadline)
        except CatalogueUnavailable:
            return None
        problems = [self._alone(living), self._late(seconds), self._standing_by()]
        if text := " ".join(problem for problem in problems if problem):
            raise Unusable(text)
        return None if living else _NONE_SEEN

    def _alone(self, living: int) -> str | None:
        if living:
            self._alone_since = None
            return None
        now = self._ticks()
        self._alone_since = now if self._alone_since is None else self._alone_since
        if now - self._alone_since < _GRACE_SECONDS:
            return None
        return (
            f"No worker gave a sign of life within {LIVE_SECONDS:.0f} s: nothing is archived. Start one: flask worker, "
            "or the app with EMBEDDED_WORKER=true. If one should run, read its log."
        )

    def _late(self, seconds: float) -> str | None:
        if seconds <= OVERDUE_SECONDS:
            return None
        return (
            f"A copy has been due for more than {OVERDUE_SECONDS // 60} minutes, and no worker has taken it. Read the "
            "workers' log; start more of them, or raise WORKER_THREADS, if they work without a pause."
        )
