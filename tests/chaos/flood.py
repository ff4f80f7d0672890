"""Many events at the same moment: what intake answers, how long that takes, and what memory it costs."""

from __future__ import annotations

import time
from dataclasses import dataclass

from bench import machine
from tests.chaos.audit import Account, audit
from tests.chaos.caller import Caller
from tests.chaos.deployment import Deployment


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
    caller = Caller(deployment.files.url, [web.url for web in deployment.webs], recordings, seed=seed, threads=threads)
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
    refused = sum(status is None or status >= 300 for status in caller.announced.statuses)
    deployment.stop()
    account = audit(deployment, caller.announced)
    return Flooded(account, refused, caller.announced.slowest, intake, seconds, highest - before, highest)


def resident(deployment: Deployment) -> float:
    """The memory of all processes of the deployment in MiB; what they share is counted for each."""
    processes = [process for process in deployment.all if process.running]
    return sum(machine.resident(pid) for process in processes for pid in [process.pid, *process.children]) / 2**20
