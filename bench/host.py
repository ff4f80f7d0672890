"""Names what a run was made on: the machine, its disk, and the version of everything that takes part.

Nothing is measured here but how steadily the machine works; processes are measured by `machine`.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import re
import shutil
import sqlite3
import subprocess
import time
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from simulator.application import ROOT
from tests.services.emulators import AZURITE

from .table import spread

OURS = ("flask", "gunicorn", "sqlalchemy", "psycopg", "requests", "urllib3", "cryptography", "numpy", "soundfile")
PEERS = ("vonage-voice", "google-cloud-storage", "azure-storage-blob", "boto3", "moto")


def facts(disk: Path) -> dict[str, str]:
    """What to know about the machine, with the file system that `disk` lies on."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    cores = len(os.sched_getaffinity(0))
    return {
        "Machine": f"{_processor()}, {cores} cores, {memory:.0f} GiB of memory, Linux {platform.release()}",
        "Disk": f"{_file_system(disk)}; {_fsync(disk)}",
        "Load before": ", ".join(f"{average:.1f}" for average in os.getloadavg()),
        "Program": f"{_commit()}, {_interpreter()}, {_packages(OURS)}",
        "Peers": f"{_packages(PEERS)}, {_programs()}",
    }


def pace() -> float:
    """Milliseconds that a fixed piece of Python and of C took: the machine's speed at this moment."""
    began = time.perf_counter()
    digest = hashlib.sha256(bytes(32 * 1024 * 1024)).digest()
    sum(number * digest[number % 32] for number in range(500_000))
    return (time.perf_counter() - began) * 1000


def _processor() -> str:
    match = re.search(r"model name\s*:\s*(.+)", Path("/proc/cpuinfo").read_text())
    return match[1].strip() if match else platform.machine()


def _file_system(path: Path) -> str:
    """The file system's kind and options: see proc_pid_mountinfo(5)."""
    mounts = [line.split() for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    holding = [fields for fields in mounts if path.resolve().is_relative_to(fields[4])]
    fields = max(holding, key=lambda mount: len(mount[4]))
    return f"{fields[fields.index('-') + 1]} ({fields[5]})"


def _fsync(folder: Path, times: int = 50) -> str:
    """How long the disk takes to make 4 KiB durable: what a commit waits for."""
    waits, path = [], folder / "fsync"
    with path.open("wb", buffering=0) as file:
        for _ in range(times):
            file.write(bytes(4096))
            began = time.perf_counter()
            os.fsync(file.fileno())
            waits.append((time.perf_counter() - began) * 1000)
    path.unlink()
    return f"an fsync of 4 KiB takes {spread(waits, ' ms')}"


def _commit() -> str:
    commit = _answer("git", "-C", str(ROOT), "rev-parse", "--short", "HEAD") or "no commit"
    changed = _answer("git", "-C", str(ROOT), "status", "--porcelain", "--untracked-files=no")
    return f"commit {commit}{' with changes' if changed else ''}"


def _interpreter() -> str:
    return f"Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}"


def _packages(names: tuple[str, ...]) -> str:
    return ", ".join(f"{name} {_version(name)}" for name in names)


def _version(name: str) -> str:
    with suppress(PackageNotFoundError):
        return version(name)
    return "missing"


def _programs() -> str:
    curl = _answer("curl", "--version").split()
    servers = [shutil.which("postgres"), *map(str, Path("/usr/lib/postgresql").glob("*/bin/postgres"))]
    postgres = _answer(*[server for server in servers if server][:1], "--version").split()
    package = AZURITE.parents[3] / "package.json"
    azurite = json.loads(package.read_text())["version"] if package.is_file() else "missing"
    versions = {"curl": curl[1:2], "PostgreSQL": postgres[2:3], "Node.js": [_answer("node", "--version")]}
    shown = [f"{name} {''.join(text) or 'missing'}" for name, text in versions.items()]
    return ", ".join([*shown, f"Azurite {azurite}"])


def _answer(*command: str) -> str:
    """What a program prints; nothing where it is missing or fails."""
    with suppress(OSError):
        return subprocess.run(command, capture_output=True, text=True).stdout.strip()
    return ""
