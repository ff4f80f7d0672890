"""The command line: which benchmarks to run, one table each."""

from __future__ import annotations

import argparse
import time

from . import acknowledge, finding, machine, memory, stores, throughput
from .table import show

BENCHMARKS = {
    "memory": memory.run,
    "throughput": throughput.run,
    "acknowledge": acknowledge.run,
    "stores": stores.run,
    "finding": finding.run,
}


def main() -> None:
    """Run what was asked for, all by default. Exit code 0, also when a goal is not met."""
    parser = argparse.ArgumentParser(prog="python -m bench", description="Measure Tapekeeper beside the alternatives.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"{', '.join(BENCHMARKS)}; default: all")
    parser.add_argument("--quick", action="store_true", help="less of everything: for a look, not for a verdict")
    chosen = parser.parse_args()
    if unknown := set(chosen.names) - set(BENCHMARKS):
        parser.error(f"there is no benchmark {', '.join(sorted(unknown))}; known are {', '.join(BENCHMARKS)}")
    print(machine.header(), flush=True)
    for name in chosen.names or BENCHMARKS:
        began = time.monotonic()
        rows, notes = BENCHMARKS[name](quick=chosen.quick)
        show(name, rows, [*notes, f"took {time.monotonic() - began:.0f} s"])


if __name__ == "__main__":
    main()
