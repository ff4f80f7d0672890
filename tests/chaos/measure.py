"""What a deployment costs and how it scales, one line for each: python tests/chaos/measure.py workers flood

workers  how much faster two workers on Postgres are than one, with downloads that take two seconds
flood    10,000 events at once: the slowest answer, and the memory that they need

The processor time of a deployment with nothing to do is in `bench.idle`.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from simulator.processes import wait_for
from tests.chaos.caller import Caller
from tests.chaos.deployment import MODES, Deployment
from tests.chaos.flood import flood
from tests.services.signals import listen_again

DEFAULT_TIMES = {"LEASE_SECONDS": "60", "RETRY_FIRST_SECONDS": "10", "RETRY_MAX_SECONDS": "21600"}


def main() -> None:
    """Print what was asked for."""
    parser = argparse.ArgumentParser(description="Measure whole deployments.")
    parser.add_argument("what", nargs="+", choices=("workers", "flood"))
    parser.add_argument("--recordings", type=int, default=10_000, help="of the flood (default: 10000)")
    parser.add_argument("--downloads", type=int, default=96, help="of workers (default: 96)")
    parser.add_argument("--mode", choices=MODES, action="append", help="of the flood; default: all")
    options = parser.parse_args()
    listen_again()
    for what in options.what:
        {"workers": _workers, "flood": _flood}[what](options)


def _workers(options: argparse.Namespace) -> None:
    count = options.downloads
    alone, both = _seconds_to_store(count, 1), _seconds_to_store(count, 2)
    print(f"{count} downloads of 2 s, 8 threads: 1 worker {alone:.1f} s, 2 workers {both:.1f} s, {both / alone:.2f}")


def _seconds_to_store(count: int, workers: int) -> float:
    deployment = Deployment("postgres", Path(tempfile.mkdtemp()), pauses="2 2", **DEFAULT_TIMES)
    with deployment.running(workers=0):
        caller = Caller(deployment.files.url, [web.url for web in deployment.webs], count)
        caller.allow(count)
        wait_for(lambda: caller.done, "all recordings are announced")
        caller.close()
        for worker in deployment.workers[:workers]:
            worker.spawn()
        wait_for(lambda: deployment.count("attempts > 0"), "the first download has begun")
        began = time.monotonic()
        wait_for(lambda: not deployment.unfinished(), "all recordings are stored", 120)
        return time.monotonic() - began


def _flood(options: argparse.Namespace) -> None:
    for mode in options.mode or MODES:
        with Deployment(mode, Path(tempfile.mkdtemp()), pauses="0 0", **DEFAULT_TIMES).running() as deployment:
            flooded = flood(deployment, options.recordings)
        account = flooded.account
        print(
            f"{mode}: {account.acknowledged} events at once taken in within {flooded.intake_seconds:.0f} s, "
            f"{flooded.unanswered} not acknowledged, slowest answer {flooded.slowest:.1f} s, "
            f"stored {account.stored} within {flooded.seconds:.0f} s, lost {account.lost}, doubled {account.doubled}, "
            f"partial {account.partial}, memory grew {flooded.grown:.0f} MiB to {flooded.resident:.0f} MiB",
            flush=True,
        )


if __name__ == "__main__":
    main()
