"""The folder that a demo leaves behind: `var/demo`, with the recordings, the catalogue and the application's log.

Here lives how it is emptied for the next demo, and that two demos never share it. Only what a demo makes is removed.
"""

from __future__ import annotations

import fcntl
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from .application import ROOT

FOLDER = ROOT / "var" / "demo"
SCRATCH = "scratch"  # for temporary files of the application
_MADE = ("recordings", SCRATCH, "application.log", "tapekeeper.db*")


class FolderUnusable(Exception):
    """Another demo runs in this folder, or nothing can be written there; the message says what to do."""


@contextmanager
def demo_folder(folder: Path = FOLDER) -> Iterator[Path]:
    """The folder without anything of an earlier demo, for as long as the block runs. Raises `FolderUnusable`."""
    try:
        lock = _locked(folder)
        empty(folder)
        (folder / SCRATCH).mkdir()
    except BlockingIOError:
        raise FolderUnusable(
            f"Another demo still runs in {shown(folder)}. End it with Ctrl-C in its terminal, then start this one."
        ) from None
    except OSError as error:
        raise FolderUnusable(
            f"{shown(folder)} cannot be used: {error.strerror}. Make it writable, or name another folder: "
            "python -m simulator.demo --folder /tmp/demo"
        ) from None
    with lock:
        yield folder
        shutil.rmtree(folder / SCRATCH, ignore_errors=True)


def _locked(folder: Path) -> IO[str]:
    folder.mkdir(parents=True, exist_ok=True)
    lock = (folder / ".lock").open("w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # ends with the process, however that ends
    except BlockingIOError:
        lock.close()
        raise
    return lock


def empty(folder: Path) -> None:
    """Remove what a demo made."""
    for pattern in _MADE:
        for path in folder.glob(pattern):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()


def place_settings(folder: Path) -> dict[str, str]:
    """The settings that keep everything of the demo below the folder."""
    # Relative where it can be: a URL of SQLAlchemy has no way to write the odd characters of a checkout's path.
    database = folder.relative_to(ROOT) if folder.is_relative_to(ROOT) else folder
    return {
        "DATABASE_URL": f"sqlite:///{database}/tapekeeper.db",
        "STORAGE_URL": (folder / "recordings").as_uri(),
        "FORWARD_TO": "447700900002",
        "VONAGE_NUMBER": "447700900000",
        "TMPDIR": str(folder / SCRATCH),
        # The door for a browser, open without a password: on this loopback port only, and only for a demo.
        "DEMO_DOOR": "true",
    }


def shown(path: Path) -> str:
    """The path as a person at this place types it: relative where it lies below the working directory."""
    here = Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)
