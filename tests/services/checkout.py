"""Copies of the checkout, for what is run as if it had been installed elsewhere."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path

from settings import ROOT


def copy_files(paths: Iterable[Path], folder: Path) -> None:
    """Copy these files of the checkout to the same places below `folder`."""
    for path in paths:
        target = folder / path.relative_to(ROOT)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(path, target)
