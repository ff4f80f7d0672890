"""The kill storm of `test_kill_storm` for as long as you like, one line for each mode:

    $ python tests/chaos/run.py --recordings 10000 --kills 1000
    embedded: acknowledged 10000, stored 10000, lost 0, doubled 0, partial 0, overlaps 0, kills 1000, 812 s

Exit status 1 when any mode has anything but zeros; its folder, with every log, is kept then.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.chaos.deployment import MODES, Deployment
from tests.chaos.storm import storm
from tests.services.signals import listen_again


def main() -> int:
    """Exit status 0 when every mode came out clean."""
    options = _options()
    listen_again()
    outcomes = [_run(mode, options) for mode in options.mode or MODES]
    return 0 if all(outcomes) else 1


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Kill everything, again and again, and count what was lost.")
    parser.add_argument("--recordings", type=int, default=10_000, help="to be acknowledged (default: 10000)")
    parser.add_argument("--kills", type=int, default=1_000, help="default: 1000")
    parser.add_argument("--mode", choices=MODES, action="append", help="may be repeated; default: all")
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
    if account.clean and not options.keep:
        shutil.rmtree(folder)
    return account.clean


if __name__ == "__main__":
    sys.exit(main())
