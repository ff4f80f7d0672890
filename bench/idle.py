"""The processor time that a deployment with nothing to do takes, in each mode."""

from __future__ import annotations

import time

from simulator.processes import wait_for

from . import machine
from .load import send, signed_events
from .stage import MODES, Options, Stage, deployed, stage
from .table import Row

SETTLE, SECONDS = 5, 60
QUICK_SETTLE, QUICK_SECONDS = 3, 10
GOAL = 1.0


def run(options: Options) -> tuple[list[Row], list[str]]:
    """A row for each mode, after one recording was archived."""
    settle, seconds = (QUICK_SETTLE, QUICK_SECONDS) if options.quick else (SETTLE, SECONDS)
    with stage(options) as here:
        shares = {mode: _percent(here, mode, settle, seconds) for mode in MODES}
    rows = [
        Row(f"idle: {mode}", f"{percent:.2f} %", goal=f"< {GOAL:g} % of one processor", met=percent < GOAL)
        for mode, percent in shares.items()
    ]
    return rows, [f"{seconds} s each; all processes together, those of the Postgres server included"]


def _percent(here: Stage, mode: str, settle: float, seconds: float) -> float:
    with deployed(here, mode) as deployment:
        send(deployment.web.port, signed_events([here.url(1000)], 1000), 1)
        wait_for(lambda: deployment.stored() == 1, "the copy is stored")
        time.sleep(settle)
        pids, began = deployment.pids, time.perf_counter()
        before = machine.processor_seconds(*pids)
        time.sleep(seconds)
        return (machine.processor_seconds(*pids) - before) / (time.perf_counter() - began) * 100
