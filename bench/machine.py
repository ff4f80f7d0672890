"""Measures a process's memory and processor time, by the word of Linux. What the machine is, `host` tells."""

from __future__ import annotations

import os
import re
from contextlib import suppress
from pathlib import Path


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
