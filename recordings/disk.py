"""How much room a disk has, and how much of it is kept free for the catalogue.

On a full disk an event cannot be committed and is lost, but audio can be fetched for weeks. So audio stops first.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from recordings.errors import StorageConfigurationError

MIB = 1024 * 1024


class Space(NamedTuple):
    """The bytes of a file system: `free` are those that an ordinary user may still write."""

    free: int
    total: int


def space(file: int | Path) -> Space:
    """The room of the file system on which this open file, or this path, lies. Raises `OSError`."""
    status = os.statvfs(file)
    return Space(status.f_bavail * status.f_frsize, status.f_blocks * status.f_frsize)


def free_bytes(path: Path) -> int:
    """The free bytes where `path` lies, or will lie once its folders are made. Raises `OSError`."""
    return space(next(known for known in (path, *path.parents) if known.exists())).free


def reserve(total: int) -> int:
    """The bytes that are kept free on a file system of this size: 200 MiB, or 1 % where that is more.

    On a small file system the 200 MiB become 5 %, but at least 8 MiB, because SQLite's log alone grows to 4 MiB, and at
    most a quarter.
    """
    small = max(total // 20, min(8 * MIB, total // 4))
    return max(total // 100, min(200 * MIB, small))


def reserve_of(mebibytes: str) -> Callable[[int], int]:
    """The reserve, as a function of the total, that STORAGE_RESERVE_MB asks for; `reserve` where it is empty."""
    mebibytes = mebibytes.strip()
    if not mebibytes:
        return reserve
    if not mebibytes.isascii() or not mebibytes.isdecimal():
        raise StorageConfigurationError(f"STORAGE_RESERVE_MB is {mebibytes!r}: write a number of MiB, such as 200.")
    size = int(mebibytes[:12]) * MIB
    return lambda total: size
