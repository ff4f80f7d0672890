"""The processor time that a deployment with nothing to do takes, in each mode."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import ExitStack

from simulator.processes import wait_for

from . import machine
from .load import send, signed_events
from .stage import Deployed, Options, Stage, deployed, modes, stage
from .table import Row, below, spread

SETTLE, SECONDS, ROUNDS = 70, 20, 3  # the first minute after a recording is when its waveform waits to be made
QUICK_SETTLE, QUICK_SECONDS, QUICK_ROUNDS = 3, 5, 1
GOAL = 1.0


def run(options: Options) -> tuple[list[Row], list[str]]:
    """A row for each mode, after one recording was archived. All deployments stand beside each other, at rest."""
    quick = (QUICK_SETTLE, QUICK_SECONDS, QUICK_ROUNDS)
    settle, seconds, rounds = quick if options.quick else (SETTLE, SECONDS, ROUNDS)
    able, notes = modes()
    with stage(options) as here, ExitStack() as stack:
        deployments = [stack.enter_context(deployed(here, mode)) for mode in able]
        for deployment in deployments:
            _archive_one(here, deployment)
        time.sleep(settle)
        shares = [_percent(deployments, seconds) for _ in range(rounds)]
    rows = [
        Row(f"idle: {mode}", spread(side, " %"), goal=below(GOAL, " % of one core", max(side)))
        for mode, side in zip(able, zip(*shares, strict=True), strict=True)
    ]
    return rows, [
        f"{rounds} times {seconds} s, all modes at once; the processes of each together, its Postgres server included",
        *notes,
    ]


def _archive_one(here: Stage, deployment: Deployed) -> None:
    send(deployment.web.port, signed_events([here.url(1000)], 1000), 1)
    wait_for(lambda: deployment.stored() == 1, "the copy is stored")


def _percent(deployments: Sequence[Deployed], seconds: float) -> list[float]:
    pids, began = [deployment.pids for deployment in deployments], time.perf_counter()
    before = [machine.processor_seconds(*group) for group in pids]
    time.sleep(seconds)
    passed = time.perf_counter() - began
    return [
        (machine.processor_seconds(*group) - first) / passed * 100 for group, first in zip(pids, before, strict=True)
    ]
