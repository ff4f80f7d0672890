"""The lines of a result, and the one table that shows them: on a terminal and in Markdown.

Nothing is measured here. In every line the ratio is ours divided by theirs, whichever of them ought to be larger.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from tabulate import tabulate

UNKNOWN = "nobody has looked into it yet."
HEADERS = ("what", "ours", "beside", "theirs", "ratio", "goal", "")


@dataclass(frozen=True)
class Goal:
    """`text` says what is wanted. `reason` is shown only when the goal is missed: a sentence about this very row.

    Without a reason nobody has looked into it yet, and the report says so: a guess would keep people from looking.
    """

    text: str
    met: bool
    reason: str = ""


@dataclass(frozen=True)
class Row:
    """`peer` names what `theirs` is a figure of. Without a peer it is empty, and so are `theirs` and `ratio`."""

    what: str
    ours: str
    peer: str = ""
    theirs: str = ""
    ratio: float | None = None
    goal: Goal | None = None

    @property
    def missed(self) -> bool:
        """Whether there is a goal, and it is missed."""
        return self.goal is not None and not self.goal.met


def compared(
    what: str,
    ours: Sequence[float],
    peer: str,
    theirs: Sequence[float],
    unit: str,
    *,
    least: float | None = None,
    most: float | None = None,
    reason: str = "",
) -> Row:
    """Both sides, measured in rounds that took turns. The ratio is the median of the rounds' own: noise hits both.

    `least` or `most` bounds that ratio. `reason` is that of the `Goal`.
    """
    ratio = statistics.median(mine / other for mine, other in zip(ours, theirs, strict=True))
    goal = None
    if least is not None:
        goal = Goal(f"ratio ≥ {least:g}", ratio >= least, reason)
    elif most is not None:
        goal = Goal(f"ratio ≤ {most:g}", ratio <= most, reason)
    return Row(what, spread(ours, unit), peer, spread(theirs, unit), ratio, goal)


def at_most(most: float, unit: str, value: float, reason: str = "") -> Goal:
    """A goal for a figure of ours alone."""
    return Goal(f"≤ {most:g}{unit}", value <= most, reason)


def below(most: float, unit: str, value: float, reason: str = "") -> Goal:
    """A goal for a figure of ours alone, which must not reach the bound itself."""
    return Goal(f"< {most:g}{unit}", value < most, reason)


def spread(values: Sequence[float], unit: str) -> str:
    """The median; behind it the smallest and the largest where there is more than one value."""
    middle = f"{_number(statistics.median(values))}{unit}"
    return middle if len(values) == 1 else f"{middle} ({_number(min(values))}-{_number(max(values))})"


def table(rows: Sequence[Row], style: str = "simple") -> str:
    """The lines as a table in one of tabulate's styles: `github` is Markdown."""
    lines = [
        (row.what, row.ours, row.peer, row.theirs, f"{row.ratio:.2f}" if row.ratio else "", *_goal(row)) for row in rows
    ]
    return tabulate(lines, headers=HEADERS, tablefmt=style, disable_numparse=True)


def reasons(rows: Sequence[Row]) -> list[str]:
    """Why goals are missed, as far as that is known: a sentence a line, after the rows that it is about."""
    about: dict[str, list[str]] = {}
    for row in rows:
        if row.goal and row.missed:
            name = f"{row.what}, beside {row.peer}" if row.peer else row.what
            about.setdefault(row.goal.reason or UNKNOWN, []).append(name)
    return [f"{'; '.join(names)}. Why: {reason}" for reason, names in about.items()]


def _goal(row: Row) -> tuple[str, str]:
    if row.goal is None:
        return "", ""
    return row.goal.text, "met" if row.goal.met else "MISSED"


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"
