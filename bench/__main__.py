"""The command line: which benchmarks to run, one table each."""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from simulator.application import Checkout

from . import acknowledge, finding, idle, listening, machine, memory, peaks, start, stores, throughput, wakeup
from .stage import Options
from .table import show

BENCHMARKS = {
    "memory": memory.run,
    "throughput": throughput.run,
    "acknowledge": acknowledge.run,
    "wakeup": wakeup.run,
    "idle": idle.run,
    "start": start.run,
    "stores": stores.run,
    "peaks": peaks.run,
    "finding": finding.run,
    "listening": listening.run,
}


def main() -> None:
    """Run what was asked for, all by default. Exit code 0, also when a goal is not met."""
    parser = argparse.ArgumentParser(prog="python -m bench", description="Measure Tapekeeper beside the alternatives.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"{', '.join(BENCHMARKS)}; default: all")
    parser.add_argument("--quick", action="store_true", help="less of everything: for a look, not for a verdict")
    parser.add_argument("--checkout", type=Path, metavar="FOLDER", help="measure the application of this checkout")
    chosen = parser.parse_args()
    if unknown := set(chosen.names) - set(BENCHMARKS):
        parser.error(f"there is no benchmark {', '.join(sorted(unknown))}; known are {', '.join(BENCHMARKS)}")
    names = chosen.names or list(BENCHMARKS)
    if chosen.checkout and "stores" in names:
        parser.error("stores measures the backends of this checkout alone; name the others")
    options = Options(chosen.quick, _checkout(chosen.checkout) if chosen.checkout else Checkout())
    print(machine.header(), flush=True)
    for name in names:
        began = time.monotonic()
        rows, notes = BENCHMARKS[name](options)
        show(name, rows, [*notes, f"took {time.monotonic() - began:.0f} s"])


def _checkout(folder: Path) -> Checkout:
    root = folder.resolve()
    return Checkout(root, str(root / ".venv/bin/python"))


if __name__ == "__main__":
    main()
