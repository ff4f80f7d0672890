"""How much sooner two workers on Postgres have stored the same recordings than one has."""

from __future__ import annotations

import time
from pathlib import Path

from simulator.processes import wait_for
from tests.chaos.caller import Caller
from tests.chaos.deployment import Deployment

from .stage import LeftOut, Options, folder, without_postgres
from .table import Row, compared

ROUNDS, DOWNLOADS = 3, 64
QUICK_ROUNDS, QUICK_DOWNLOADS = 1, 16
SECONDS = 2  # that each download takes
GOAL = 0.55


def run(options: Options) -> tuple[list[Row], list[str]]:
    """A new deployment each time, two workers and one in turns."""
    if missing := without_postgres():
        raise LeftOut(missing)
    rounds, count = (QUICK_ROUNDS, QUICK_DOWNLOADS) if options.quick else (ROUNDS, DOWNLOADS)
    with folder() as home:
        both, alone = zip(*[(_seconds(home, count, 2), _seconds(home, count, 1)) for _ in range(rounds)], strict=True)
    reason = "both workers start at once on few cores, and that start is a part of a short run."
    return [
        compared(
            "until all recordings are stored, two workers", both, "one worker", alone, " s", most=GOAL, reason=reason
        )
    ], [f"{rounds} rounds of {count} downloads that take {SECONDS} s each, eight threads a worker"]


def _seconds(home: Path, count: int, workers: int) -> float:
    """From the first download to the last copy stored; the events were taken in before a worker was started."""
    place = home / f"{time.monotonic_ns()}"
    place.mkdir()
    deployment = Deployment("postgres", place, pauses=f"{SECONDS} {SECONDS}", LEASE_SECONDS="60")
    with deployment.running(workers=0):
        _announce(deployment, count)
        for worker in deployment.workers[:workers]:
            worker.spawn()
        wait_for(lambda: deployment.count("attempts > 0"), "the first download has begun")
        began = time.monotonic()
        wait_for(lambda: not deployment.unfinished(), "all recordings are stored", 300)
        return time.monotonic() - began


def _announce(deployment: Deployment, count: int) -> None:
    caller = Caller(deployment.files.url, [web.url for web in deployment.webs], count)
    caller.allow(count)
    wait_for(lambda: caller.done, "all recordings are announced")
    caller.close()
