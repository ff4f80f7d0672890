"""What the operating system's refusals mean to the person whose folder it is: for `backends.local`."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from types import TracebackType

from recordings.errors import (
    ObjectNotFound,
    StorageConfigurationError,
    StorageError,
    StoragePermissionError,
    StorageUnavailable,
)

SPACE = "Free some space or enlarge the volume; it is tried again by itself."
IN_THE_WAY = "A file or a symbolic link stands where a folder belongs: move it away (links are not followed here)."
MENDS: dict[int, tuple[type[StorageError], str]] = {
    errno.ENOSPC: (StorageUnavailable, SPACE),
    errno.EDQUOT: (StorageUnavailable, SPACE),
    errno.EROFS: (StorageUnavailable, "Mount the volume writable again; the kernel's log tells why it is read-only."),
    errno.EIO: (StorageUnavailable, "The disk fails: look at the kernel's log."),
    errno.ESTALE: (StorageUnavailable, "The network mount is stale: mount it again."),
    errno.EACCES: (StoragePermissionError, "Let the user with id {uid} write there (chown, chmod)."),
    errno.EPERM: (StoragePermissionError, "Let the user with id {uid} write there (chown, chattr)."),
    errno.ENOTDIR: (StorageConfigurationError, IN_THE_WAY),
    errno.ELOOP: (StorageConfigurationError, IN_THE_WAY),
    errno.EISDIR: (StorageConfigurationError, "A folder stands where a file belongs: move it away."),
    errno.EFBIG: (StorageConfigurationError, "The file system or `ulimit -f` does not take files of this size."),
    errno.EXDEV: (StorageConfigurationError, "Everything below the storage folder must be one file system."),
}


class translated:
    """Says in our own words what the operating system refused in its block, where, and what mends it.

    `missing`: no such file means no such object, not a fault. A class, because a context manager made of a generator
    costs three times as much, and a put goes through a dozen.
    """

    __slots__ = ("_key", "_missing", "_root")

    def __init__(self, root: Path, key: str, *, missing: bool = False) -> None:
        self._root, self._key, self._missing = root, key, missing

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        if not isinstance(error, OSError):
            return
        if self._missing and error.errno == errno.ENOENT:
            what = f"under {self._key!r} in {self._root}" if self._key else f"in {self._root}: there is no such folder"
            raise ObjectNotFound(f"Nothing is stored {what}.") from error
        fault, mend = MENDS.get(error.errno or 0, (StorageUnavailable, "It is tried again by itself."))
        where = self._root / self._key
        raise fault(f"{where}: {error.strerror or error}. {mend.format(uid=os.geteuid())}") from error
