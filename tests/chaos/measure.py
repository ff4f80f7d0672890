"""What a flood of 10,000 events at once costs: the slowest answer, and the memory: python tests/chaos/measure.py

The processor time of a deployment with nothing to do is in `bench.idle`, and how two workers share in `bench.workers`.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.chaos.deployment import MODES, Deployment
from tests.chaos.flood import flood
from tests.services.signals import listen_again

DEFAULT_TIMES = {"LEASE_SECONDS": "60", "RETRY_FIRST_SECONDS": "10", "RETRY_MAX_SECONDS": "21600"}


def main() -> None:
    """Print a line for each mode."""
    parser = argparse.ArgumentParser(description="Measure a flood of events.")
    parser.add_argument("--recordings", type=int, default=10_000, help="default: 10000")
    parser.add_argument("--mode", choices=MODES, action="append", help="default: all")
    options = parser.parse_args()
    listen_again()
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
