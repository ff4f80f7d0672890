"""What a figure was measured on: the machine and the versions, in two lines; and a process's peak memory."""

from __future__ import annotations

import os
import platform
import re
import sqlite3
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

MEASURED = (
    "flask",
    "gunicorn",
    "sqlalchemy",
    "huey",
    "requests",
    "urllib3",
    "cryptography",
    "numpy",
    "soundfile",
    "vonage-voice",
)


def header() -> str:
    """Processor, cores, memory, kernel; then Python, SQLite and the packages that matter."""
    load = ", ".join(f"{one:.1f}" for one in os.getloadavg())
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    cores = len(os.sched_getaffinity(0))
    machine = f"{_processor()}, {cores} cores, {memory:.0f} GiB, Linux {platform.release()}, load {load}"
    packages = ", ".join(f"{name} {_version(name)}" for name in MEASURED)
    return f"{machine}\nPython {platform.python_version()}, SQLite {sqlite3.sqlite_version}, {packages}"


def peak(pid: int) -> int:
    """The most memory that the process ever held at once, in bytes (VmHWM, see proc(5))."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    if found is None:
        raise RuntimeError(f"/proc/{pid}/status tells no VmHWM: this benchmark needs Linux.")
    return int(found[1]) * 1024


def forget_peak(pid: int) -> None:
    """Let the peak begin anew at what the process holds now, so that its start does not hide what comes later."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")


def processor_seconds(pid: int) -> float:
    """User and system time that the process has taken so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _processor() -> str:
    found = re.search(r"model name\s*:\s*(.+)", Path("/proc/cpuinfo").read_text())
    return found[1].strip() if found else platform.machine()


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "missing"
