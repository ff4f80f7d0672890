"""The folders below one root: opened or made, and never reached through a symbolic link.

An error of the root itself is raised as an error of `recordings.errors`. An error below the root is raised as a plain
OSError: only the caller knows the key, and translates it.
"""

from __future__ import annotations

import errno
import os
import stat
from contextlib import suppress
from pathlib import Path

from .drafts import FOLDER, FOLDER_MODE, enter, make, sync
from .errors import translated

# O_NONBLOCK: to open a FIFO that somebody made there must not block.
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class Tree:
    """Everything below `root`. Keeps nothing open; safe for threads.

    A path is opened by one system call. Then Linux is asked for the real path of the opened file: it differs when a
    symbolic link lies on the way. Only when the answer differs or is missing, the path is opened part by part, which
    shows what is wrong. The usual way is one system call because each call gives up the interpreter's lock, and one
    recording opens three paths.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._real_root: str | None = None  # the real path of the root when it was opened last

    def top(self, *, create: bool) -> int:
        """The root, opened. The root itself may be a symbolic link: its owner configured it."""
        with translated(self.root, "", missing=not create):
            try:
                top = os.open(self.root, FOLDER & ~os.O_NOFOLLOW)
            except FileNotFoundError:
                if not create:
                    raise
                _make_all(self.root)
                top = os.open(self.root, FOLDER & ~os.O_NOFOLLOW)
        real_path = _real_path(top)
        self._real_root = None if real_path is None else real_path.rstrip("/")
        return top

    def folder(self, path: str, *, create: bool) -> int:
        """The folder at `path` below the root, opened. With `create` it is made and synced. No path means the root."""
        if not path:
            return self.top(create=create)
        try:
            folder, missing = self._open_at_once(path, FOLDER), False
        except FileNotFoundError:
            folder, missing = None, True
        if folder is not None:
            return folder
        parent_path, _, name = path.rpartition("/")
        parent = self.folder(parent_path, create=create)
        try:
            return make(parent, name) if missing and create else enter(parent, name, create=create)
        finally:
            os.close(parent)

    def file(self, key: str) -> tuple[int, int]:
        """The regular file at `key` below the root, opened for reading, and its size in bytes."""
        with suppress(FileNotFoundError):
            fd = self._open_at_once(key, _FILE)
            if fd is not None:
                return _regular(fd)
        path, _, name = key.rpartition("/")
        folder = self.folder(path, create=False)
        try:
            return open_file(folder, name)
        finally:
            os.close(folder)

    def _open_at_once(self, path: str, flags: int) -> int | None:
        """The file or folder at `path`, opened by one call; None when a symbolic link may lie on the way.

        Raises FileNotFoundError when nothing lies there.
        """
        if self._real_root is None:
            return None
        try:
            fd = os.open(f"{self.root}/{path}", flags)
        except FileNotFoundError:
            raise
        except OSError:
            return None
        if _real_path(fd) == f"{self._real_root}/{path}":
            return fd
        os.close(fd)
        return None


def open_file(folder: int, name: str) -> tuple[int, int]:
    """A regular file in an open folder, opened for reading, and its size in bytes."""
    return _regular(os.open(name, _FILE, dir_fd=folder))


def _regular(fd: int) -> tuple[int, int]:
    status = os.fstat(fd)
    if stat.S_ISREG(status.st_mode):
        return fd, status.st_size
    os.close(fd)
    raise IsADirectoryError(errno.EISDIR, "not a regular file")


def _real_path(fd: int) -> str | None:
    """The path of an open file or folder without symbolic links; None on a system without /proc."""
    try:
        return os.readlink(f"/proc/self/fd/{fd}")
    except OSError:
        return None


def _make_all(path: Path) -> None:
    """Make the folder and its missing parents; each is synced into its parent."""
    if path.is_dir():
        return
    if not path.parent.is_dir():
        _make_all(path.parent)
    with suppress(FileExistsError):
        path.mkdir(FOLDER_MODE)
    parent = os.open(path.parent, FOLDER & ~os.O_NOFOLLOW)
    try:
        sync(parent)
    finally:
        os.close(parent)
