"""Files that get their name at once, whole, and only if it is free: what `backends.local` writes to.

Three ways, by what the file system can do. Everything here works on open folders and raises plain OSErrors; what they
mean to a person is said in `backends.local`.
"""

from __future__ import annotations

import errno
import os
import secrets
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum
from types import TracebackType
from typing import Self

INCOMING = ".incoming"  # below the root: drafts and locks of the lesser ways; no key begins with a dot
TRIAL, CHECK = ".try", ".check."  # names of a moment, below the root
LEFTOVER_AGE = 24 * 3600.0  # seconds after which nobody writes to a draft any more
FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
FILE_MODE, FOLDER_MODE = 0o640, 0o750

# What file systems say when they cannot do O_TMPFILE, or cannot link. ENOENT: no /proc to link from.
NO_TMPFILE = {errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL, errno.EISDIR}
NO_LINKS = {errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL, errno.EXDEV, errno.EMLINK, errno.ENOENT}


class Way(Enum):
    """How a finished file gets its name, best first."""

    NAMELESS = "O_TMPFILE, then link: ext4, xfs, btrfs, tmpfs; the kernel clears up after a SIGKILL"
    LINK = "a draft in .incoming, then link: NFS"
    RENAME = "a draft in .incoming, then rename under a lock file: SMB, FAT, some FUSE"


@dataclass(frozen=True, slots=True)
class Draft:
    """A file being written. `publish(folder, name)` is False when the name is taken; `discard()` always ends it.

    A context manager: whatever was not published is gone afterwards.
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
    """Makes drafts in the best way that the file system knows, which is found out by trying, once.

    `way` fixes it; `lock_wait` is in seconds.
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
        """A draft that is to be published in the open `folder`. `top` opens the root, where the way needs it."""
        if self.way is Way.NAMELESS:
            return self._nameless(folder)
        root = top()
        try:
            self.way = self.way or self._try_ways(root)
            return self._nameless(folder) if self.way is Way.NAMELESS else self._named(root, self.way)
        finally:
            os.close(root)

    def sweep(self, root: int) -> None:
        """Remove what writers left behind that died a day ago or earlier."""
        self._remove_old(root, [name for name in os.listdir(root) if name.startswith((TRIAL, CHECK))])
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

    def _try_ways(self, root: int) -> Way:
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
        """Rename overwrites, so only the holder of the lock may look and rename.

        A lock file, not flock(2): on network mounts that is where creating exclusively is kept between machines.
        """
        where = os.fstat(folder)
        lock = f"{where.st_dev:x}-{where.st_ino:x}-{name}.lock"[-255:]
        self._take(lock, incoming)
        try:
            with suppress(FileNotFoundError):
                os.stat(name, dir_fd=folder, follow_symlinks=False)
                return False
            os.replace(part, name, src_dir_fd=incoming, dst_dir_fd=folder)
            return True
        finally:
            os.unlink(lock, dir_fd=incoming)

    def _take(self, lock: str, incoming: int) -> None:
        waited = 0.0
        while True:
            try:
                os.close(os.open(lock, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, FILE_MODE, dir_fd=incoming))
                return
            except FileExistsError:
                if waited >= self._lock_wait:
                    # It is held for one stat and one rename: its holder died. The next try finds it gone.
                    with suppress(FileNotFoundError):
                        os.unlink(lock, dir_fd=incoming)
                    raise OSError(errno.EAGAIN, "a lock that a dead writer left was removed") from None
            self._sleep(0.02)
            waited += 0.02


def enter(folder: int, name: str, *, create: bool) -> int:
    """The folder `name` inside an open folder, opened, never through a symbolic link; made, and synced, if wanted."""
    try:
        return os.open(name, FOLDER, dir_fd=folder)
    except FileNotFoundError:
        if not create:
            raise
    return make(folder, name)


def make(folder: int, name: str) -> int:
    """The same, for a folder that is most likely not there yet."""
    with suppress(FileExistsError):
        os.mkdir(name, FOLDER_MODE, dir_fd=folder)
    sync(folder)
    return os.open(name, FOLDER, dir_fd=folder)


def sync(folder: int) -> None:
    """Make the names in a folder durable, where the file system has a notion of that."""
    try:
        os.fsync(folder)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.EOPNOTSUPP, errno.EBADF):  # SMB and some FUSE sync files only
            raise


def _can_link(draft: Draft, root: int) -> bool:
    """Whether publishing by a link works here, by doing it.

    The name is always the same: what a writer leaves that dies in between is removed at the next one's first put.
    """
    try:
        draft.publish(root, TRIAL)
        with suppress(FileNotFoundError):  # another writer, at the same trial, was quicker
            os.unlink(TRIAL, dir_fd=root)
    except OSError as error:
        if error.errno not in NO_LINKS:
            raise
        return False
    finally:
        draft.discard()
    return True


def _link(source: str, source_folder: int, folder: int, name: str) -> bool:
    # The folder descriptors make Python call linkat(AT_SYMLINK_FOLLOW), which a nameless file's /proc/self/fd entry
    # needs; plain link(2) links the symbolic link in /proc and fails with EXDEV. See open(2) on O_TMPFILE.
    try:
        os.link(source, name, src_dir_fd=source_folder, dst_dir_fd=folder)
    except FileExistsError:
        return False
    return True
