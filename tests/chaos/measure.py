"""What a deployment costs and how it scales, one line for each: python tests/chaos/measure.py workers idle flood

workers  how much faster two workers are than one, with downloads that take two seconds
idle     the processor time that each mode takes with nothing to do
flood    10,000 events at once: the slowest answer, and what memory grows to
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.chaos.caller import Caller
from tests.chaos.deployment import MODES, Deployment, wait_for
from tests.chaos.flood import flood, idle, resident
from tests.services.signals import listen_again

DEFAULT_TIMES = {"LEASE_SECONDS": "60", "RETRY_FIRST_SECONDS": "10", "RETRY_MAX_SECONDS": "21600"}


def main() -> None:
    """Print what was asked for."""
    parser = argparse.ArgumentParser(description="Measure whole deployments.")
    parser.add_argument("what", nargs="+", choices=("workers", "idle", "flood"))
    parser.add_argument("--recordings", type=int, default=10_000, help="of the flood (default: 10000)")
    parser.add_argument("--mode", choices=MODES, action="append", help="for idle and flood; default: all")
    options = parser.parse_args()
    listen_again()
    for what in options.what:
        {"workers": _workers, "idle": _idle, "flood": _flood}[what](options)


def _workers(_: argparse.Namespace) -> None:
    for mode in ("postgres", "redis"):
        one, two = _queue_seconds(mode, 1), _queue_seconds(mode, 2)
        print(f"{mode}: 96 downloads of 2 s, 8 threads: 1 worker {one:.1f} s, 2 workers {two:.1f} s, {two / one:.2f}")


def _queue_seconds(mode: str, workers: int) -> float:
    deployment = Deployment(mode, Path(tempfile.mkdtemp()), pauses="2 2", **DEFAULT_TIMES)
    with deployment.running(workers=0):
        caller = Caller(deployment.files.origin, [web.url for web in deployment.webs], 96)
        caller.allow(96)
        wait_for(lambda: caller.done, "all are announced")
        caller.close()
        for worker in deployment.workers[:workers]:
            worker.start()
        wait_for(lambda: deployment.count("attempts > 0"), "the first is fetched")
        began = time.monotonic()
        wait_for(lambda: not deployment.unfinished(), "all are stored", 120)
        return time.monotonic() - began


def _idle(options: argparse.Namespace) -> None:
    for mode in options.mode or MODES:
        with Deployment(mode, Path(tempfile.mkdtemp()), **DEFAULT_TIMES).running() as deployment:
            time.sleep(5)  # what starting leaves over
            spent = idle(deployment, 60)
            count = f"{len(deployment.webs)} web, {len(deployment.workers)} workers, servers included"
            print(f"{mode}: idle {spent:.2f} % of one processor, {resident(deployment):.0f} MiB ({count})", flush=True)


def _flood(options: argparse.Namespace) -> None:
    for mode in options.mode or MODES:
        with Deployment(mode, Path(tempfile.mkdtemp()), pauses="0 0", **DEFAULT_TIMES).running() as deployment:
            wet = flood(deployment, options.recordings)
        account = wet.account
        print(
            f"{mode}: {account.acknowledged} events at once taken in within {wet.intake_seconds:.0f} s, "
            f"{wet.unanswered} not acknowledged, slowest answer {wet.slowest:.1f} s, stored {account.stored} within "
            f"{wet.seconds:.0f} s, lost {account.lost}, doubled {account.doubled}, partial {account.partial}, "
            f"memory grew {wet.grown:.0f} MiB to {wet.resident:.0f} MiB",
            flush=True,
        )


if __name__ == "__main__":
    main()
