"""Backup and restore of a catalogue in a SQLite file.

A backup is a file of its own, and no file is ever written over: not by a backup, and not by a restore, which moves the
former catalogue aside. A catalogue on Postgres is refused, with the command that does it there.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from recordings.catalogue.database import Database
from recordings.catalogue.snapshots import (
    SHARED_BYTES,
    BadSnapshot,
    Snapshot,
    count_recordings,
    judge_snapshot,
    write_snapshot,
)
from recordings.clock import utc_now
from recordings.errors import InvalidInput

_MODE = 0o640
_BESIDE = ("-wal", "-shm", "-journal")  # what SQLite keeps beside a database
_ON_POSTGRES = {
    "backup": 'pg_dump -Fc --no-owner --no-acl --file FILE "$DATABASE_URL"',
    "restore": 'pg_restore --clean --if-exists --no-owner --no-acl --dbname "$DATABASE_URL" FILE',
}


@dataclass(frozen=True, slots=True)
class Restored:
    """What was restored, and where the former catalogue lies now; None: there was none."""

    snapshot: Snapshot
    former: Path | None


def back_up(database: Database, file: Path) -> Snapshot:
    """Write the catalogue, as it is now, into a new file that gets its name once it is whole; returns what it holds.

    Raises `InvalidInput` or `BadSnapshot`; then there is no file.
    """
    catalogue = _sqlite_file(database, "backup")
    if not catalogue.exists():
        raise InvalidInput(f"There is no catalogue at {catalogue}. Check DATABASE_URL.")
    _refuse_taken(file)  # before the catalogue is copied, which may take long
    with _draft_of(file) as draft:
        write_snapshot(catalogue, draft)
        snapshot = judge_snapshot(draft, catalogue)
        _publish(draft, file)
    return snapshot


def restore(
    database: Database, file: Path, *, replace: bool = False, clock: Callable[[], datetime] = utc_now
) -> Restored:
    """Put the backup in the catalogue's place; the former catalogue is moved aside, whole.

    The backup is copied, judged and brought to this program's schema before anything else is touched. Raises
    `InvalidInput` while a process uses the catalogue, and where it has recordings unless `replace` is true.
    """
    catalogue = _sqlite_file(database, "restore")
    _refuse_live_copy(file)
    _refuse_full(catalogue, replace)
    with _explained(catalogue, "replaced"), _unused(catalogue):
        pass  # before the backup is copied, which may take long
    catalogue.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
    with _draft_of(catalogue) as draft:
        with _explained(file, f"copied into {catalogue.parent}"):
            shutil.copyfile(file, draft)
        judge_snapshot(draft, file)
        _migrate(database, draft, file)
        snapshot = judge_snapshot(draft, file)
        _give_to_owner(draft, catalogue)
        return Restored(snapshot, _swap(draft, catalogue, clock()))


# --- What is refused -------------------------------------------------------------------------------------------------


def _sqlite_file(database: Database, purpose: str) -> Path:
    if not database.sqlite:
        raise InvalidInput(
            f"DATABASE_URL is a Postgres database, which Postgres' own tools copy: {_ON_POSTGRES[purpose]}\n"
            "See docs/backup.md."
        )
    return Path(database.url.database or "").resolve()  # SQLite, too, looks for the WAL beside the file itself


def _refuse_taken(file: Path) -> None:
    if file.is_dir():
        raise InvalidInput(f"{file} is a folder: write the name of a new file.")
    if file.exists() or file.is_symlink():
        raise InvalidInput(f"{file} is there already: delete it, or choose another name.")


def _refuse_live_copy(file: Path) -> None:
    """A copy that somebody made of a catalogue in use: SQLite would only read half of it."""
    for beside in (Path(f"{file}-wal"), Path(f"{file}-journal")):
        if beside.exists() and beside.stat().st_size:
            raise InvalidInput(
                f"{file} is no finished backup: {beside.name}, beside it, holds what belongs to it. Make backups with: "
                "flask backup FILE"
            )


def _refuse_full(catalogue: Path, replace: bool) -> None:
    if replace or not catalogue.exists():
        return
    try:
        number = count_recordings(catalogue)
    except BadSnapshot as error:
        raise InvalidInput(f"{error} With --replace it is moved aside, and the backup takes its place.") from None
    if number:
        raise InvalidInput(
            f"The catalogue {catalogue} has {number} recordings. With --replace it is moved aside, and the backup "
            "takes its place."
        )


@contextmanager
def _unused(catalogue: Path) -> Iterator[None]:
    """Lock everybody out of a catalogue during the block. Raises `InvalidInput` while a process has it open."""
    if not catalogue.exists():
        yield
        return
    start, length = SHARED_BYTES
    # No connection of ours may be open: with the first that is closed, this process would lose the lock.
    # https://sqlite.org/howtocorrupt.html#_posix_advisory_locks_canceled_by_a_separate_thread_doing_close_
    with catalogue.open("r+b") as opened:
        try:
            fcntl.lockf(opened, fcntl.LOCK_EX | fcntl.LOCK_NB, length, start)
        except (BlockingIOError, PermissionError):  # any other error says that nothing can be locked here
            raise InvalidInput(
                f"A process uses the catalogue {catalogue}: a web process, a worker, or another command. Stop them "
                "all, then repeat this."
            ) from None
        yield


# --- Files -----------------------------------------------------------------------------------------------------------


@contextmanager
def _draft_of(file: Path) -> Iterator[Path]:
    """An empty file beside `file`, under a hidden name; it goes away at the end of the block unless it was moved."""
    draft = file.with_name(f".{file.name}.{secrets.token_hex(4)}.part")
    with _explained(file, "written"):
        descriptor = os.open(draft, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, _MODE)
        os.fchmod(descriptor, _MODE)
        os.close(descriptor)
    try:
        yield draft
    finally:
        for suffix in ("", *_BESIDE):
            Path(f"{draft}{suffix}").unlink(missing_ok=True)


def _publish(draft: Path, file: Path) -> None:
    """Give the draft its name, durably. A file of that name is never written over."""
    with _explained(file, "written"):
        _sync(draft)
        try:
            os.link(draft, file)
        except FileExistsError:
            _refuse_taken(file)
            raise
        except OSError:  # a file system without links
            _refuse_taken(file)
            draft.rename(file)
        _sync(file.parent)


def _swap(draft: Path, catalogue: Path, now: datetime) -> Path | None:
    """Move the former catalogue aside, with what belongs to it, and the draft to its place. Returns where it lies."""
    former = catalogue.with_name(f"{catalogue.name}.before-{now:%Y%m%dT%H%M%S.%fZ}")
    with _explained(catalogue, "replaced"), _unused(catalogue):
        _sync(draft)
        existed = catalogue.exists()
        for suffix in _BESIDE:
            with suppress(FileNotFoundError):
                os.rename(f"{catalogue}{suffix}", f"{former}{suffix}")
        if existed:
            _keep_as(catalogue, former)
        os.replace(draft, catalogue)
        _sync(catalogue.parent)
    return former if existed else None


def _keep_as(catalogue: Path, former: Path) -> None:
    """A second name for the catalogue: at no moment is there none, or an app that starts would make an empty one."""
    try:
        os.link(catalogue, former)
    except OSError:  # a file system without links
        os.rename(catalogue, former)


def _migrate(database: Database, draft: Path, file: Path) -> None:
    """Bring the draft, which is a copy of `file`, to this program's schema."""
    opened = Database(database.url.set(database=str(draft)).render_as_string(hide_password=False))
    try:
        opened.migrate()
    except Exception as error:  # a foreign file may make anything of a migration
        cause = str(error.__cause__ or error).splitlines()[0]
        message = f"{file} cannot be brought to the schema of this program: {cause}. Use another backup."
        raise InvalidInput(message) from error
    finally:
        opened.close()


def _give_to_owner(draft: Path, catalogue: Path) -> None:
    """Root restores for the user that the app runs as: the owner of the catalogue, or else of its folder."""
    if os.geteuid() == 0:
        owner = (catalogue if catalogue.exists() else catalogue.parent).stat()
        os.chown(draft, owner.st_uid, owner.st_gid)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _explained(file: Path, what: str) -> Iterator[None]:
    """An error of the system as one line."""
    try:
        yield
    except OSError as error:
        raise InvalidInput(f"{file} cannot be {what}: {error.strerror or error}.") from error
