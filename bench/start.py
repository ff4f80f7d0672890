"""What a start costs: the first answer of the web process, and a command on an empty catalogue."""

from __future__ import annotations

import resource
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path

from simulator.application import Application
from simulator.processes import environment

from .load import send
from .stage import Options, Stage, like_ours, stage
from .table import Row, compared

ROUNDS, QUICK_ROUNDS = 9, 3
GOAL = 1.5
BARE = "import flask, sqlalchemy"


def run(options: Options) -> tuple[list[Row], list[str]]:
    """Measure each beside its peer in alternating rounds.

    The first round is not counted: it makes the catalogue and Python's caches.
    """
    rounds = QUICK_ROUNDS if options.quick else ROUNDS
    with stage(options) as here:
        home = here.fresh("start")
        settings = here.settings(home)
        starts = [(_first_answer(here, home, settings), _noop(here)) for _ in range(1 + rounds)][1:]
        costs = [(_command(here, settings), _imports(here, settings)) for _ in range(1 + rounds)][1:]
    ours, theirs = zip(*starts, strict=True)
    command, imports = zip(*costs, strict=True)
    return [
        compared("from the start of gunicorn to the first answer", ours, "Flask no-op", theirs, " ms"),
        compared(
            "processor time of `flask recordings list`",
            command,
            f"python -c '{BARE}'",
            imports,
            " ms",
            most=GOAL,
            reason="the command imports more than the peer, reads its settings and asks a catalogue.",
        ),
    ], [f"{rounds} rounds, one process, SQLite, empty catalogue"]


def _first_answer(here: Stage, home: Path, settings: Mapping[str, str]) -> float:
    began = time.perf_counter()
    with Application(settings, home / "log", checkout=here.checkout) as web:
        web.wait_until_ready(pause=0.002)
        return (time.perf_counter() - began) * 1000


def _noop(here: Stage) -> float:
    began = time.perf_counter()
    with like_ours("bench.noop:create_app()", {}, here.folder / "noop.log") as noop:
        send(noop.port, [b"GET / HTTP/1.1\r\nHost: bench.example.com\r\n\r\n"], 1, expected="404")
        return (time.perf_counter() - began) * 1000


def _command(here: Stage, settings: Mapping[str, str]) -> float:
    before = _milliseconds_of_children()
    if here.listed(settings):
        raise RuntimeError("The catalogue should be empty.")
    return _milliseconds_of_children() - before


def _imports(here: Stage, settings: Mapping[str, str]) -> float:
    before = _milliseconds_of_children()
    command = [here.checkout.python, "-c", BARE]
    subprocess.run(command, cwd=here.checkout.root, env=environment(settings), check=True)
    return _milliseconds_of_children() - before


def _milliseconds_of_children() -> float:
    """The processor time of every child process that has ended and was waited for."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (used.ru_utime + used.ru_stime) * 1000
