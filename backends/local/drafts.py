"""Files without a name yet: a draft gets its name in one step, when it is complete, and only if the name is free.

There are three ways to do that, by what the file system can do. Everything here works on open folders and raises plain
OSErrors; `storage.py` translates them.
"""

from __future__ import annotations

import errno
import fcntl
import os
import secrets
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum
from types import TracebackType
from typing import Self

INCOMING = ".incoming"  # the folder of named drafts and of locks, below the root; no key begins with a dot
LINK_TEST = ".try"  # below the root, for a moment: tests whether files can be linked
CHECK_FILE = ".check."  # below the root, for a moment: `check` writes it; a random text follows
LEFTOVER_AGE = 24 * 3600.0  # seconds; a draft that is older belongs to a writer that died
FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
FILE_MODE, FOLDER_MODE = 0o640, 0o750

# The errors of file systems that do not support O_TMPFILE, or links. ENOENT: there is no /proc to link from.
NO_TMPFILE = {errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL, errno.EISDIR}
NO_LINKS = {errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL, errno.EXDEV, errno.EMLINK, errno.ENOENT}


class Way(Enum):
    """How a complete file gets its name; the best way comes first."""

    NAMELESS = "O_TMPFILE, then link: ext4, xfs, btrfs, tmpfs; the kernel removes the file after a SIGKILL"
    LINK = "a draft in .incoming, then link: NFS"
    RENAME = "a draft in .incoming, then rename under a lock file: SMB, FAT, some FUSE"


@dataclass(frozen=True, slots=True)
class Draft:
    """A file that is being written. `publish(folder, name)` gives it its name; it answers False when the name is taken.

    `discard()` closes the draft, always. As a context manager, a draft that was not published leaves nothing behind.
    """

    fd: int
    publish: Callable[[int, str], bool]
    discard: Callable[[], None]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.discard()


class Drafts:
    """Makes drafts in the best way that the file system supports, which the first draft finds out by trying.

    `way` fixes the way in advance. `lock_wait`: the seconds to wait for another writer's lock.
    """

    def __init__(
        self,
        *,
        way: Way | None = None,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], None] = time.sleep,
        lock_wait: float = 10.0,
    ) -> None:
        self.way = way
        self._clock = clock
        self._sleep = sleep
        self._lock_wait = lock_wait

    def begin(self, top: Callable[[], int], folder: int) -> Draft:
        """A draft for a name in the open `folder`. `top` opens the root, where named drafts lie."""
        if self.way is Way.NAMELESS:
            return self._nameless(folder)
        root = top()
        try:
            self.way = self.way or self._best_way(root)
            return self._nameless(folder) if self.way is Way.NAMELESS else self._named(root, self.way)
        finally:
            os.close(root)

    def sweep(self, root: int) -> None:
        """Remove the drafts that dead writers left behind more than a day ago, and the files of dead checks."""
        names = os.listdir(root)
        _remove_unheld(root, [name for name in names if name.startswith(CHECK_FILE)])
        self._remove_old(root, [name for name in names if name.startswith((LINK_TEST, CHECK_FILE))])
        with suppress(FileNotFoundError):
            incoming = os.open(INCOMING, FOLDER, dir_fd=root)
            try:
                self._remove_old(incoming, os.listdir(incoming))
            finally:
                os.close(incoming)

    def _remove_old(self, folder: int, names: Iterable[str]) -> None:
        for name in names:
            with suppress(FileNotFoundError):
                if self._clock() - os.stat(name, dir_fd=folder).st_mtime > LEFTOVER_AGE:
                    os.unlink(name, dir_fd=folder)

    def _best_way(self, root: int) -> Way:
        try:
            draft = self._nameless(root)
        except OSError as error:
            if error.errno not in NO_TMPFILE:
                raise
        else:
            if _can_link(draft, root):
                return Way.NAMELESS
        return Way.LINK if _can_link(self._named(root, Way.LINK), root) else Way.RENAME

    def _nameless(self, folder: int) -> Draft:
        fd = os.open(".", os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, FILE_MODE, dir_fd=folder)
        return Draft(fd, lambda into, name: _link(f"/proc/self/fd/{fd}", folder, into, name), lambda: os.close(fd))

    def _named(self, root: int, way: Way) -> Draft:
        incoming = enter(root, INCOMING, create=True)
        part = f"{secrets.token_hex(8)}.part"

        def publish(folder: int, name: str) -> bool:
            return (_link if way is Way.LINK else self._rename)(part, incoming, folder, name)

        def discard() -> None:
            with suppress(FileNotFoundError):
                os.unlink(part, dir_fd=incoming)
            os.close(incoming)
            os.close(fd)

        try:
            fd = os.open(part, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, FILE_MODE, dir_fd=incoming)
        except OSError:
            os.close(incoming)
            raise
        return Draft(fd, publish, discard)

    def _rename(self, part: str, incoming: int, folder: int, name: str) -> bool:
        """Give the name by a rename. A rename overwrites, so only the holder of the lock may look and rename.

        The lock is a file and not flock(2): a network mount keeps the exclusive creation of files between machines.
        """
        status = os.fstat(folder)
        lock = f"{status.st_dev:x}-{status.st_ino:x}-{name}.lock"[-255:]
        self._acquire(lock, incoming)
        try:
            with suppress(FileNotFoundError):
                os.stat(name, dir_fd=folder, follow_symlinks=False)
                return False
            os.replace(part, name, src_dir_fd=incoming, dst_dir_fd=folder)
            return True
        finally:
            os.unlink(lock, dir_fd=incoming)

    def _acquire(self, lock: str, incoming: int) -> None:
        waited = 0.0
        while True:
            try:
                os.close(os.open(lock, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, FILE_MODE, dir_fd=incoming))
                return
            except FileExistsError:
                if waited >= self._lock_wait:
                    # A writer holds the lock for one stat and one rename only, so this holder died. The next attempt
                    # finds no lock.
                    with suppress(FileNotFoundError):
                        os.unlink(lock, dir_fd=incoming)
                    raise OSError(errno.EAGAIN, "the lock of a dead writer was removed") from None
            self._sleep(0.02)
            waited += 0.02


def hold(fd: int) -> None:
    """Hold a lock on the file while it is open, where the file system has locks: its writer lives."""
    with suppress(OSError):
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _remove_unheld(folder: int, names: Iterable[str]) -> None:
    """Remove the files that nobody holds. Where locks are not supported, their age decides; see `Drafts.sweep`."""
    for name in names:
        with suppress(OSError):
            fd = os.open(name, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                os.unlink(name, dir_fd=folder)
            finally:
                os.close(fd)


def enter(folder: int, name: str, *, create: bool) -> int:
    """The folder `name` inside an open folder, opened, never through a symbolic link. With `create` made and synced."""
    try:
        return os.open(name, FOLDER, dir_fd=folder)
    except FileNotFoundError:
        if not create:
            raise
    return make(folder, name)


def make(folder: int, name: str) -> int:
    """Like `enter`, for a folder that most likely does not exist yet."""
    with suppress(FileExistsError):
        os.mkdir(name, FOLDER_MODE, dir_fd=folder)
    sync(folder)
    return os.open(name, FOLDER, dir_fd=folder)


def sync(folder: int) -> None:
    """Make the names in a folder durable, where the file system can."""
    try:
        os.fsync(folder)
    except OSError as error:
        # SMB and some FUSE file systems can sync only files.
        if error.errno not in (errno.EINVAL, errno.EOPNOTSUPP, errno.EBADF):
            raise


def _can_link(draft: Draft, root: int) -> bool:
    """Whether a draft can be published by a link here; found out by doing it.

    The name is always the same, so the next writer's test removes the file of a writer that died in between.
    """
    try:
        draft.publish(root, LINK_TEST)
        with suppress(FileNotFoundError):  # another writer made the same test and was quicker
            os.unlink(LINK_TEST, dir_fd=root)
    except OSError as error:
        if error.errno not in NO_LINKS:
            raise
        return False
    finally:
        draft.discard()
    return True


def _link(source: str, source_folder: int, folder: int, name: str) -> bool:
    # With the folder descriptors, Python calls linkat(AT_SYMLINK_FOLLOW), which a nameless file needs: plain link(2)
    # would link the symbolic link in /proc/self/fd, and fail with EXDEV. See O_TMPFILE in the manual page open(2).
    # https://man7.org/linux/man-pages/man2/open.2.html
    try:
        os.link(source, name, src_dir_fd=source_folder, dst_dir_fd=folder)
    except FileExistsError:
        return False
    return True
