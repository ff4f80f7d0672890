"""The long form of the proof: a storm in each mode, then random requests.

    python tests/chaos/run.py --recordings 10000 --kills 1000 --fuzz 100000

    embedded: acknowledged 10000, stored 10000, lost 0, doubled 0, partial 0, overlaps 0, kills 1000, 812 s
    fuzz: 100000 requests: 204 31000, 401 20000, …; slowest 0.60 s; faults 0; memory after each round 120 … MiB; 400 s
      afterwards: answers 10, p99 0.02 s, …

Exit status 1 when anything is wrong: other figures than zeros, a 5xx that is no 503, a redirect, memory that grows, a
service that does not answer afterwards. The folder of that run, with every log, is kept then.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from simulator.processes import TooLate
from tests.chaos.deployment import MODES, POOLED, Deployment
from tests.chaos.flood import resident
from tests.chaos.fuzz import Account, fuzz
from tests.chaos.storm import storm
from tests.chaos.watch import Watch
from tests.services.application import SIGNATURE_SECRET
from tests.services.signals import listen_again

ROUNDS = 10  # of random requests
GROWTH = 24  # MiB in the second half, which is 500 bytes for each of 50,000 requests


def main() -> int:
    """Exit status 0 when every mode came out clean."""
    options = _options()
    listen_again()
    outcomes = [_run(mode, options) for mode in options.mode or (*MODES, POOLED) if options.recordings]
    if options.fuzz:
        outcomes.append(_fuzz(options))
    return 0 if all(outcomes) else 1


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Kill everything, again and again, and count what was lost.")
    parser.add_argument(
        "--recordings", type=int, default=10_000, help="to be acknowledged (default: 10000; 0: no storm)"
    )
    parser.add_argument("--kills", type=int, default=1_000, help="default: 1000")
    parser.add_argument("--mode", choices=(*MODES, POOLED), action="append", help="may be repeated; default: all")
    parser.add_argument("--fuzz", type=int, default=100_000, help="random requests (default: 100000; 0: none)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", action="store_true", help="keep the folders of clean runs, too")
    return parser.parse_args()


def _run(mode: str, options: argparse.Namespace) -> bool:
    folder = Path(tempfile.mkdtemp(prefix=f"tapekeeper-chaos-{mode}-"))
    began = time.monotonic()
    with Deployment(mode, folder).running() as deployment:
        account, announced, weather = storm(deployment, options.recordings, options.kills, seed=options.seed)
    print(
        f"{mode}: acknowledged {account.acknowledged}, stored {account.stored}, lost {account.lost}, "
        f"doubled {account.doubled}, partial {account.partial}, overlaps {account.overlaps}, "
        f"kills {sum(weather.struck.values())}, {time.monotonic() - began:.0f} s",
        flush=True,
    )
    struck = ", ".join(f"{what} {count}" for what, count in sorted(weather.struck.items()))
    print(
        f"  killed: {struck}; copies whose worker died over them: {weather.struck_at_work}; "
        f"not acknowledged: {len(announced.refused)}; slowest reply {announced.slowest:.1f} s",
        flush=True,
    )
    for detail in account.details[:20]:
        print(f"  {detail}; see {folder}", flush=True)
    _remove(folder, account.clean, options)
    return account.clean


def _fuzz(options: argparse.Namespace) -> bool:
    """Random requests in rounds. Memory must not grow in the second half of them: in the first, caches fill."""
    folder = Path(tempfile.mkdtemp(prefix="tapekeeper-chaos-fuzz-"))
    began, total, memory = time.monotonic(), Account(), []
    with Deployment("embedded", folder, WEB_CONCURRENCY="1", LOG_LEVEL="ERROR").running() as deployment:
        for number in range(ROUNDS):
            seed = options.seed + number
            account = fuzz(deployment.webs[0].url, SIGNATURE_SECRET, requests=options.fuzz // ROUNDS, seed=seed)
            total.statuses += account.statuses
            total.faults += account.faults
            total.slowest = max(total.slowest, account.slowest)
            memory.append(resident(deployment))
        grown = memory[-1] - memory[ROUNDS // 2 - 1]
        rounds = " ".join(f"{mebibytes:.0f}" for mebibytes in memory)
        print(f"fuzz: {total}; memory after each round {rounds} MiB; {time.monotonic() - began:.0f} s")
        for fault in total.faults[:20]:
            print(f"  {fault}; see {folder}", flush=True)
        complaint = _complaint(deployment)
    clean = not total.faults and grown < GROWTH and not complaint
    _remove(folder, clean, options)
    return clean


def _complaint(deployment: Deployment) -> str:
    """What is wrong with the service now, if anything; how it answers is printed."""
    with Watch(deployment) as watch:
        time.sleep(5)
    print("  afterwards: ", end="")
    try:
        watch.hold_to_promises()
    except (AssertionError, TooLate) as error:
        print(f"  {error}", flush=True)
        return str(error)
    return ""


def _remove(folder: Path, clean: bool, options: argparse.Namespace) -> None:
    if clean and not options.keep:
        shutil.rmtree(folder)


if __name__ == "__main__":
    sys.exit(main())
