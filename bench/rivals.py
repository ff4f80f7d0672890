"""Runs `bench.sdk`, the official SDK in a process of its own, and reads its result."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from simulator.application import ROOT

from .stage import LeftOut, Stage


class Downloaded(NamedTuple):
    """Seconds by the clock and of processor time, and the growth of the peak in bytes."""

    seconds: float
    busy: float
    grown: int


def sdk(stage: Stage, folder: Path, urls: Sequence[str], threads: int) -> Downloaded:
    """Download these with the SDK. One small file is downloaded first, and not measured."""
    if find_spec("vonage_voice") is None:
        raise LeftOut("vonage-voice is not installed: pip install -r requirements-bench.txt")
    command = [sys.executable, "-m", "bench.sdk", str(stage.key), str(folder), str(threads)]
    lines = "\n".join([stage.url(200_000), *urls])
    done = subprocess.run(command, cwd=ROOT, env=dict(os.environ), input=lines, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"The SDK could not download:\n{done.stderr}")
    seconds, busy, grown = done.stdout.split()
    return Downloaded(float(seconds), float(busy), int(grown))


def check(folder: Path, count: int, size: int) -> None:
    """Raise unless the SDK's files are all there, whole."""
    sizes = [path.stat().st_size for path in folder.glob("*.mp3")]
    if sizes != [size] * count:
        raise RuntimeError(f"The SDK left {len(sizes)} files, {sizes.count(size)} of them whole, in place of {count}.")
