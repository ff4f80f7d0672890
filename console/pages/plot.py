"""The plot of recordings a day by outcome: where each bar begins and ends. It is drawn as SVG by a template.

The colours are classes of the style sheet, since the pages' policy allows no style of their own.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta

from recordings.catalogue.daily import Days
from recordings.model import State

OUTCOMES = {
    "stored": (State.STORED,),
    "on their way": (State.PENDING, State.FETCHING, State.WAITING),
    "blocked or failed": (State.BLOCKED, State.FAILED),
}
_CLASSES = ("stored", "coming", "trouble")
_WIDTH, _HEIGHT, _LEFT, _RIGHT, _TOP, _BOTTOM = 720, 200, 60, 24, 14, 26
_GAP = 0.2  # of the width of a day


@dataclass(frozen=True, slots=True)
class Bar:
    """A rectangle of the plot, and the class that colours it."""

    kind: str
    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True, slots=True)
class Mark:
    """A text beside an axis; of the numbers there is a line at the same height."""

    text: str
    x: float
    y: float


@dataclass(frozen=True, slots=True)
class Plot:
    """What is drawn, and `rows` for the table: each day with its number of each outcome and of those without audio."""

    width: int
    height: int
    left: int
    bars: tuple[Bar, ...]
    numbers: tuple[Mark, ...]
    days: tuple[Mark, ...]
    rows: tuple[tuple[date, list[int], int], ...]


def plot(counted: Days, today: date, days: int) -> Plot:
    """The plot of the last days, today included."""
    rows = tuple(_row(counted, today - timedelta(days=ago)) for ago in range(days - 1, -1, -1))
    top = _round_up(max(sum(numbers) for _, numbers, _ in rows))
    step = (_WIDTH - _LEFT - _RIGHT) / days
    bars = tuple(bar for place, row in enumerate(rows) for bar in _bars(row[1], _LEFT + place * step, step, top))
    texts = tuple(
        Mark(f"{row[0].day} {row[0]:%b}", round(_LEFT + (place + 0.5) * step, 1), _HEIGHT - 5)
        for place, row in enumerate(rows)
        if (days - 1 - place) % 7 == 0
    )
    numbers = tuple(Mark(f"{value:,}", _LEFT - 6, round(_y(value, top), 1)) for value in (0, top // 2, top))
    return Plot(_WIDTH, _HEIGHT, _LEFT, bars, numbers, texts, rows)


def _row(counted: Days, day: date) -> tuple[date, list[int], int]:
    states = counted.get(day, {})
    numbers = [sum(states.get(state, 0) for state in outcome) for outcome in OUTCOMES.values()]
    return day, numbers, states.get(State.EMPTY, 0)


def _bars(numbers: list[int], x: float, step: float, top: int) -> Iterator[Bar]:
    """One bar upon the other."""
    below = 0
    for kind, number in zip(_CLASSES, numbers, strict=True):
        if number:
            y, floor = _y(below + number, top), _y(below, top)
            yield Bar(
                kind, round(x + _GAP * step / 2, 1), round(y, 1), round(step * (1 - _GAP), 1), round(floor - y, 1)
            )
        below += number


def _y(value: int, top: int) -> float:
    return _HEIGHT - _BOTTOM - (_HEIGHT - _BOTTOM - _TOP) * value / top


def _round_up(most: int) -> int:
    """The next even number with two digits before its zeros."""
    unit: int = 2 * 10 ** max(0, len(str(most)) - 2)
    return max(unit, -(-most // unit) * unit)
