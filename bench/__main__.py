"""The command line: which benchmarks to run, one table each, or all of them as a report."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from simulator.application import ROOT, Checkout

from . import report
from .stage import Options

REPORT, QUICK_REPORT = ROOT / "docs/benchmarks.md", ROOT / "var/benchmarks.md"


def main() -> None:
    """Run what was asked for. Exit code 0, also when a goal is missed; 1 when a benchmark failed."""
    parser = argparse.ArgumentParser(prog="python -m bench", description="Measure Tapekeeper beside the alternatives.")
    known = ["report", *report.BENCHMARKS]
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"{', '.join(known)}; default: report")
    parser.add_argument("--quick", action="store_true", help="less of everything: for a look, not for a verdict")
    parser.add_argument("--checkout", type=Path, metavar="FOLDER", help="measure the application of this checkout")
    parser.add_argument("--to", type=Path, metavar="FILE", help="write a report here; default: docs/benchmarks.md")
    chosen = parser.parse_args()
    names = chosen.names or ["report"]
    if unknown := set(names) - set(known):
        parser.error(f"there is no benchmark {', '.join(sorted(unknown))}; known are {', '.join(known)}")
    if chosen.checkout and set(names) - set(report.OF_A_CHECKOUT):
        parser.error(f"another checkout can be measured by {', '.join(report.OF_A_CHECKOUT)} alone; name some of them")
    options = Options(chosen.quick, _checkout(chosen.checkout) if chosen.checkout else Checkout())
    sys.exit(report.run(*_what(names, chosen), options))


def _what(names: list[str], chosen: argparse.Namespace) -> tuple[list[str], Path | None]:
    """The benchmarks to run, and where the report goes, if there is one."""
    if "report" not in names:
        return names, chosen.to
    return list(report.BENCHMARKS), chosen.to or (QUICK_REPORT if chosen.quick else REPORT)


def _checkout(folder: Path) -> Checkout:
    root = folder.resolve()
    return Checkout(root, str(root / ".venv/bin/python"))


if __name__ == "__main__":
    main()
