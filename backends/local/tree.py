"""The folders below one root: opened or made, never reached through a symbolic link. For `backends.local`.

What is wrong with the root is said in its owner's words; what is wrong below it is a plain OSError, for who knows the
key.
"""

from __future__ import annotations

import errno
import os
import stat
from contextlib import suppress
from pathlib import Path

from .drafts import FOLDER, FOLDER_MODE, enter, make, sync
from .errors import translated

# O_NONBLOCK: a FIFO that somebody put there must not hang us.
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class Tree:
    """Everything below `root`. Keeps nothing open; safe for threads.

    A path is opened in one step, and then Linux is asked where that which is open really lies, so that a symbolic link
    on the way shows. Only where this leaves a doubt is it opened part by part, which tells what is wrong. Each step
    costs a thread its turn of the interpreter's lock, and a recording goes through this three times.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._lies: str | None = None  # where the root really lay when it was opened last

    def top(self, *, create: bool) -> int:
        """The root, opened. It may itself be a symbolic link: its owner wrote it down."""
        with translated(self.root, "", missing=not create):
            try:
                top = os.open(self.root, FOLDER & ~os.O_NOFOLLOW)
            except FileNotFoundError:
                if not create:
                    raise
                _make_all(self.root)
                top = os.open(self.root, FOLDER & ~os.O_NOFOLLOW)
        where = _place(top)
        self._lies = None if where is None else where.rstrip("/")
        return top

    def folder(self, path: str, *, create: bool) -> int:
        """The folder at `path` below the root, opened; made, and synced, if wanted. An empty path is the root."""
        if not path:
            return self.top(create=create)
        try:
            there, missing = self._straight(path, FOLDER), False
        except FileNotFoundError:
            there, missing = None, True
        if there is not None:
            return there
        above, _, name = path.rpartition("/")
        parent = self.folder(above, create=create)
        try:
            return make(parent, name) if missing and create else enter(parent, name, create=create)
        finally:
            os.close(parent)

    def file(self, key: str) -> tuple[int, int]:
        """The regular file at `key` below the root, opened to be read, and its size in bytes."""
        with suppress(FileNotFoundError):
            there = self._straight(key, _FILE)
            if there is not None:
                return _regular(there)
        path, _, name = key.rpartition("/")
        folder = self.folder(path, create=False)
        try:
            return open_file(folder, name)
        finally:
            os.close(folder)

    def _straight(self, path: str, flags: int) -> int | None:
        """What lies at `path`, opened in one step; None where a doubt is left. FileNotFoundError: nothing does."""
        if self._lies is None:
            return None
        try:
            there = os.open(f"{self.root}/{path}", flags)
        except FileNotFoundError:
            raise
        except OSError:
            return None
        if _place(there) == f"{self._lies}/{path}":
            return there
        os.close(there)
        return None


def open_file(folder: int, name: str) -> tuple[int, int]:
    """A regular file in an open folder, opened to be read, and its size in bytes."""
    return _regular(os.open(name, _FILE, dir_fd=folder))


def _regular(fd: int) -> tuple[int, int]:
    found = os.fstat(fd)
    if stat.S_ISREG(found.st_mode):
        return fd, found.st_size
    os.close(fd)
    raise IsADirectoryError(errno.EISDIR, "not a regular file")


def _place(fd: int) -> str | None:
    """Where this lies, through no symbolic link; None on a system without /proc."""
    try:
        return os.readlink(f"/proc/self/fd/{fd}")
    except OSError:
        return None


def _make_all(path: Path) -> None:
    """Make the folder and those above it, each one durable."""
    if path.is_dir():
        return
    if not path.parent.is_dir():
        _make_all(path.parent)
    with suppress(FileExistsError):
        path.mkdir(FOLDER_MODE)
    above = os.open(path.parent, FOLDER & ~os.O_NOFOLLOW)
    try:
        sync(above)
    finally:
        os.close(above)
