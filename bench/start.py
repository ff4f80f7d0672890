"""What a start costs: the first answer of the web process, and a command on an empty catalogue."""

from __future__ import annotations

import resource
import statistics
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path

from simulator.application import Application
from simulator.processes import environment

from .stage import Options, Stage, stage
from .table import Row

ROUNDS, QUICK_ROUNDS = 7, 3
GOAL = 1.5
BARE = "import flask, sqlalchemy"


def run(options: Options) -> tuple[list[Row], list[str]]:
    """Measure both in alternating rounds.

    The first round is not counted: it makes the catalogue and Python's caches.
    """
    rounds = QUICK_ROUNDS if options.quick else ROUNDS
    with stage(options) as here:
        home = here.fresh("start")
        settings = here.settings(home)
        starts = [_first_answer(here, home, settings) for _ in range(1 + rounds)][1:]
        costs = [(_command(here, settings), _imports(here, settings)) for _ in range(1 + rounds)][1:]
    ours, theirs = (statistics.median(side) for side in zip(*costs, strict=True))
    ratio = statistics.median(command / imports for command, imports in costs)
    return [
        Row("from the start of gunicorn to the first answer", f"{statistics.median(starts) * 1000:,.0f} ms"),
        Row(
            "processor time of `flask recordings list`",
            f"{ours * 1000:,.0f} ms",
            f"{theirs * 1000:,.0f} ms",
            ratio,
            f"<= {GOAL:g} x",
            ratio <= GOAL,
        ),
    ], [f"{rounds} rounds, one process, SQLite, empty catalogue", f"theirs: python -c '{BARE}'"]


def _first_answer(here: Stage, home: Path, settings: Mapping[str, str]) -> float:
    began = time.perf_counter()
    with Application(settings, home / "log", checkout=here.checkout) as web:
        web.wait_until_ready(pause=0.002)
        return time.perf_counter() - began


def _command(here: Stage, settings: Mapping[str, str]) -> float:
    before = _processor_seconds_of_children()
    if here.listed(settings):
        raise RuntimeError("The catalogue should be empty.")
    return _processor_seconds_of_children() - before


def _imports(here: Stage, settings: Mapping[str, str]) -> float:
    before = _processor_seconds_of_children()
    command = [here.checkout.python, "-c", BARE]
    subprocess.run(command, cwd=here.checkout.root, env=environment(settings), check=True)
    return _processor_seconds_of_children() - before


def _processor_seconds_of_children() -> float:
    """The time of every child process that has ended and was waited for."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
