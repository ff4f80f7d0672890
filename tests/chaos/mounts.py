"""A small disk of its own for one test: a tmpfs that can be full or read-only. Only root may mount one."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path

from tests.services.databases import NotInstalled


@contextlib.contextmanager
def small_disk(folder: Path, kibibytes: int) -> Iterator[None]:
    """The folder is a disk of this size until the end of the block."""
    folder.mkdir(parents=True, exist_ok=True)
    _mount("-t", "tmpfs", "-o", f"size={kibibytes}k", "tmpfs", str(folder))
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def resize(folder: Path, kibibytes: int) -> None:
    """The disk has this size from now on."""
    _mount("-o", f"remount,size={kibibytes}k", str(folder))


@contextlib.contextmanager
def read_only(folder: Path) -> Iterator[None]:
    """The disk under the folder takes no writes during the block."""
    _mount("-o", "remount,ro", str(folder))
    yield
    _mount("-o", "remount,rw", str(folder))


def _mount(*arguments: str) -> None:
    done = subprocess.run(["mount", *arguments], capture_output=True, text=True)
    if done.returncode:
        raise NotInstalled(f"A disk cannot be mounted here, which takes root: {done.stderr.strip()}")
