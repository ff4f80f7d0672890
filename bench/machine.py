"""Describes the machine and the versions in two lines, and measures a process's memory and processor time."""

from __future__ import annotations

import os
import platform
import re
import sqlite3
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

MEASURED = (
    "flask",
    "gunicorn",
    "sqlalchemy",
    "psycopg",
    "requests",
    "urllib3",
    "cryptography",
    "numpy",
    "soundfile",
    "vonage-voice",
)


def header() -> str:
    """Processor, cores, memory, kernel; then Python, SQLite and the packages that matter."""
    load = ", ".join(f"{average:.1f}" for average in os.getloadavg())
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    cores = len(os.sched_getaffinity(0))
    machine = f"{_processor()}, {cores} cores, {memory:.0f} GiB, Linux {platform.release()}, load {load}"
    packages = ", ".join(f"{name} {_version(name)}" for name in MEASURED)
    return f"{machine}\nPython {platform.python_version()}, SQLite {sqlite3.sqlite_version}, {packages}"


def peak(pid: int) -> int:
    """The most memory that the process ever held at once, in bytes (VmHWM, see proc(5))."""
    match = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    if match is None:
        raise RuntimeError(f"/proc/{pid}/status has no VmHWM: this benchmark needs Linux.")
    return int(match[1]) * 1024


def forget_peak(pid: int) -> None:
    """Reset the peak to the memory that the process holds now, so that its start does not hide later growth."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")


def processor_seconds(*pids: int) -> float:
    """User and system time that these processes have taken so far, in seconds; 0 of a process that has ended.

    https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html, fields 14 and 15
    """
    ticks = 0
    for pid in pids:
        with suppress(OSError):
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def resident(pid: int) -> int:
    """The memory that the process holds now, in bytes; 0 once it has ended.

    https://man7.org/linux/man-pages/man5/proc_pid_statm.5.html
    """
    with suppress(OSError):
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return 0


def _processor() -> str:
    match = re.search(r"model name\s*:\s*(.+)", Path("/proc/cpuinfo").read_text())
    return match[1].strip() if match else platform.machine()


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "missing"
