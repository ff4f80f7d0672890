"""One line of a result, and how a benchmark's lines are printed."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from tabulate import tabulate


@dataclass(frozen=True)
class Row:
    """`goal` is a sentence, or empty where there is none; then `met` is None."""

    what: str
    ours: str
    theirs: str = ""
    ratio: float | None = None
    goal: str = ""
    met: bool | None = None


def compared(what: str, ours: Sequence[float], theirs: Sequence[float], least: float, unit: str = "/s") -> Row:
    """Two rates measured in alternating rounds. The ratio is the median of the rounds' own: noise hits both alike."""
    ratio = statistics.median(mine / other for mine, other in zip(ours, theirs, strict=True))
    return Row(what, spread(ours, unit), spread(theirs, unit), ratio, f">= {least:g} x", ratio >= least)


def spread(values: Sequence[float], unit: str) -> str:
    """The median, and the range where there is more than one value."""
    middle = f"{statistics.median(values):,.0f}{unit}"
    return middle if len(values) == 1 else f"{middle} ({min(values):,.0f}-{max(values):,.0f})"


def show(name: str, rows: Sequence[Row], notes: Sequence[str]) -> None:
    """Print a benchmark's table, and its notes below it."""
    lines = [
        (row.what, row.ours, row.theirs, f"{row.ratio:.2f}" if row.ratio else "", row.goal, _word(row.met))
        for row in rows
    ]
    headers = ("what", "ours", "theirs", "ratio", "goal", "met")
    print(f"\n{name}\n{tabulate(lines, headers=headers, disable_numparse=True)}")
    for note in notes:
        print(f"  {note}")
    print(flush=True)


def _word(met: bool | None) -> str:
    return "" if met is None else "yes" if met else "NO"
