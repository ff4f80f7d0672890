"""What the operating system's errors mean: each as an error of `recordings.errors`, with what to do about it."""

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
MEANINGS: dict[int, tuple[type[StorageError], str]] = {
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
    """Raise an OSError of the block as an error of `recordings.errors` that names the file and says what to do.

    With `missing`, an absent file means that there is no such object. This is a class, because a context manager made
    from a generator takes three times as long, and one `put` enters a dozen of them.
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
            place = f"under {self._key!r} in {self._root}" if self._key else f"in {self._root}: there is no such folder"
            raise ObjectNotFound(f"Nothing is stored {place}.") from error
        error_class, mend = MEANINGS.get(error.errno or 0, (StorageUnavailable, "It is tried again by itself."))
        path = self._root / self._key
        raise error_class(f"{path}: {error.strerror or error}. {mend.format(uid=os.geteuid())}") from error
