"""Many events at the same moment: what intake answers, how long it takes, and what memory and processor it costs."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.chaos.audit import Account, audit
from tests.chaos.caller import Caller
from tests.chaos.deployment import Child, Deployment
from tests.services.databases import Server

PAGE = os.sysconf("SC_PAGE_SIZE")
TICKS = os.sysconf("SC_CLK_TCK")


@dataclass
class Flooded:
    """`slowest` is of one event's answer; `grown` how much the memory of all processes grew at most, in MiB."""

    account: Account
    unanswered: int
    slowest: float
    intake_seconds: float
    seconds: float
    grown: float
    resident: float


def flood(deployment: Deployment, recordings: int, *, threads: int = 64, seed: int = 1) -> Flooded:
    """Announce so many recordings at once to a running deployment, and wait until all are stored."""
    before = highest = resident(deployment)
    began = time.monotonic()
    caller = Caller(
        deployment.files.origin, [web.url for web in deployment.webs], recordings, seed=seed, threads=threads
    )
    caller.allow(recordings)
    while not caller.done:
        highest = max(highest, resident(deployment))
        time.sleep(0.2)
    intake = time.monotonic() - began
    caller.close()
    while deployment.unfinished():
        highest = max(highest, resident(deployment))
        time.sleep(0.2)
    seconds = time.monotonic() - began
    refused = sum(status is None or status >= 300 for status in caller.told.statuses)
    deployment.stop()
    account = audit(deployment, caller.told)
    return Flooded(account, refused, caller.told.slowest, intake, seconds, highest - before, highest)


def resident(deployment: Deployment) -> float:
    """The memory of all processes of the deployment in MiB; what they share is counted for each."""
    return sum(_resident_pages(pid) for pid in processes(deployment.all)) * PAGE / 2**20


def processor_seconds(deployment: Deployment) -> float:
    """The processor time that all processes of the deployment, its servers too, have used so far."""
    servers = [server for server in (deployment.postgres, deployment.redis) if server]
    return sum(_ticks(pid) for pid in processes([*deployment.all, *servers])) / TICKS


def idle(deployment: Deployment, seconds: float) -> float:
    """The share of one processor that a deployment with nothing to do takes, in percent."""
    before = processor_seconds(deployment)
    time.sleep(seconds)
    return (processor_seconds(deployment) - before) / seconds * 100


def processes(servers: Sequence[Child | Server]) -> list[int]:
    """The living processes and what they forked, one generation: neither gunicorn nor Postgres has more."""
    mine = [one.process.pid for one in servers if one.process is not None and one.process.poll() is None]
    return mine + [pid for parent in mine for pid in _words(f"/proc/{parent}/task/{parent}/children")]


def _resident_pages(pid: int) -> int:
    """https://man7.org/linux/man-pages/man5/proc_pid_statm.5.html"""
    return ([*_words(f"/proc/{pid}/statm"), 0, 0])[1]


def _ticks(pid: int) -> int:
    """User and system time: fields 14 and 15. https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html"""
    with contextlib.suppress(OSError):
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
        return int(fields[11]) + int(fields[12])
    return 0


def _words(path: str) -> list[int]:
    """The numbers in a file of the kernel's; none when the process has ended."""
    with contextlib.suppress(OSError):
        return [int(word) for word in Path(path).read_text().split()]
    return []
