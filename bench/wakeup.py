"""How long after its 204 a recording of 20 KB is stored, one event at a time at a low rate, in each mode."""

from __future__ import annotations

import random
import statistics
import time

from simulator.processes import wait_for

from .load import send, signed_events
from .stage import MODES, Deployed, Options, Stage, deployed, modes, stage
from .table import Row, at_most, spread

SIZE = 20_000
WARM_UP, EVENTS, QUICK_EVENTS = 5, 120, 10
PAUSE = 0.3  # between two events, on average; the worker goes to sleep meanwhile
LOOK = 0.001  # between two looks into the catalogue
GOALS = dict(zip(MODES, (45, 150, 45), strict=True))


def run(options: Options) -> tuple[list[Row], list[str]]:
    """A row for each mode: from when the client has the 204 until the catalogue says stored."""
    count = QUICK_EVENTS if options.quick else EVENTS
    able, notes = modes()
    with stage(options) as here:
        rows = [_row(here, mode, count) for mode in able]
    return rows, [
        f"{count} events of {SIZE:,} bytes, one every {PAUSE} s with jitter, local disk, Postgres with fsync",
        f"the catalogue was looked at each {LOOK * 1000:.0f} ms",
        *notes,
    ]


def _row(here: Stage, mode: str, count: int) -> Row:
    with deployed(here, mode) as deployment:
        requests = signed_events([here.url(SIZE) for _ in range(WARM_UP + count)], SIZE)
        waits = [_milliseconds(deployment, request, number) for number, request in enumerate(requests, 1)][WARM_UP:]
    ninetieth = statistics.quantiles(waits, n=10)[-1]
    shown = f"{spread(waits, ' ms')}, p90 {ninetieth:.0f} ms"
    return Row(f"204 to stored: {mode}", shown, goal=at_most(GOALS[mode], " ms at p90", ninetieth))


def _milliseconds(deployment: Deployed, request: bytes, stored: int) -> float:
    """Send one event; how long after its answer the catalogue says that so many copies are stored."""
    time.sleep(PAUSE * random.uniform(0.5, 1.5))
    acknowledged = send(deployment.web.port, [request], 1).ended
    wait_for(lambda: deployment.stored() >= stored, "the copy is stored", pause=LOOK)
    return (time.perf_counter() - acknowledged) * 1000
