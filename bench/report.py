"""Runs benchmarks one after another, shows each table as it comes, and writes all of them into one Markdown file.

A benchmark that fails, or cannot run here, is named in the report with its reason, and the next one runs.
"""

from __future__ import annotations

import inspect
import os
import sys
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType

from . import (
    acknowledge,
    finding,
    host,
    idle,
    large,
    listening,
    peaks,
    start,
    stores,
    throughput,
    wakeup,
    weight,
    workers,
)
from .stage import LeftOut, Options, folder
from .table import Row, reasons, spread, table

# In the order of the report. What writes many files comes last: the disk is slower for minutes after.
ORDER = (acknowledge, start, wakeup, idle, workers, listening, peaks, weight, throughput, large, stores, finding)
BENCHMARKS: dict[str, ModuleType] = {module.__name__.rpartition(".")[2]: module for module in ORDER}
OF_A_CHECKOUT = ("acknowledge", "throughput", "large", "wakeup", "idle", "start", "listening")
INTRODUCTION = """\
Tapekeeper beside the alternatives: the same work, in one run on one machine. `make bench` measures all of this anew and
writes this page; nobody writes into it by hand.

A figure is the median of its rounds, with the smallest and the largest in brackets. Both sides take turns in each
round, because the speed of a machine drifts: **the ratio, ours divided by theirs, is the median of the rounds' own
ratios**. A missed goal says why, where that is known. Everything runs on the same cores: what is measured, the pretend
Vonage that serves the audio, and whoever asks."""


@dataclass(frozen=True)
class Section:
    """What came of one benchmark. `problem` says why there are no rows; `failed`: that is an error, nothing missing."""

    name: str
    about: str
    rows: Sequence[Row] = ()
    notes: Sequence[str] = ()
    problem: str = ""
    failed: bool = False


def run(names: Sequence[str], target: Path | None, options: Options) -> int:
    """Run these benchmarks and write the report, if there is a target. The exit code: 1 when one of them failed."""
    began, pace = time.monotonic(), [host.pace()]
    with folder() as place:
        facts = host.facts(place)
    _say("\n".join(f"{name}: {text}" for name, text in facts.items()))
    sections = []
    for number, name in enumerate(names, 1):
        _say(f"\n[{number} of {len(names)}, {time.monotonic() - began:.0f} s] {name} …")
        sections.append(measured(name, BENCHMARKS[name], options))
        pace.append(host.pace())
        print(plain(sections[-1]), flush=True)
    if target:
        minutes = (time.monotonic() - began) / 60
        facts["Pace"] = f"the same piece of work took {spread(pace, ' ms')}, measured between all benchmarks"
        facts["When"] = f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, {minutes:.0f} minutes"
        facts |= {"Size": "quick: for a look, not for a verdict"} if options.quick else {}
        write(target, markdown(facts, sections))
        _say(f"Written to {target}: {verdict(sections)}")
    return int(any(section.failed for section in sections))


def measured(name: str, benchmark: ModuleType, options: Options) -> Section:
    """Run one benchmark, whatever comes of it. Only Ctrl-C goes through."""
    about = (inspect.getdoc(benchmark) or "").splitlines()[0]
    began = time.monotonic()
    measure: Callable[[Options], tuple[list[Row], list[str]]] = benchmark.run
    try:
        rows, notes = measure(options)
    except LeftOut as missing:
        return Section(name, about, problem=f"Left out: {missing}")
    except Exception as error:
        traceback.print_exc()
        return Section(name, about, problem=f"Failed: {_first_line(error)}", failed=True)
    return Section(name, about, rows, [*notes, f"took {time.monotonic() - began:.0f} s"])


def plain(section: Section) -> str:
    """A section for a terminal."""
    if section.problem:
        return f"{section.name}: {section.problem}"
    below = [*(f"MISSED {reason}" for reason in reasons(section.rows)), *section.notes]
    return "\n".join([section.name, table(section.rows), *(f"  {line}" for line in below)])


def markdown(facts: Mapping[str, str], sections: Sequence[Section]) -> str:
    """The whole report."""
    machine = "\n".join(f"- **{name}:** {text}" for name, text in facts.items())
    parts = ["# Benchmarks", INTRODUCTION, f"**{verdict(sections)}**", machine, *map(_section, sections)]
    return "\n\n".join(parts) + "\n"


def verdict(sections: Sequence[Section]) -> str:
    """One sentence: how many goals are met, and which benchmarks have no figures."""
    judged = [row for section in sections for row in section.rows if row.goal]
    met = sum(not row.missed for row in judged)
    without = ", ".join(section.name for section in sections if section.problem)
    return f"{met} of {len(judged)} goals are met." + (f" Without figures: {without}." if without else "")


def write(target: Path, text: str) -> None:
    """Put the text there at once, or leave what was there."""
    target.parent.mkdir(exist_ok=True)
    part = target.with_name(f"{target.name}.part")
    part.write_text(text)
    os.replace(part, target)


def _section(section: Section) -> str:
    lines = [f"## {section.name.capitalize()}", section.about]
    if section.problem:
        return "\n\n".join([*lines, f"**{section.problem}**"])
    below = [*(f"- **Missed:** {reason}" for reason in reasons(section.rows)), *(f"- {note}" for note in section.notes)]
    return "\n\n".join([*lines, table(section.rows, "github"), "\n".join(below)])


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}"


def _say(text: str) -> None:
    """Progress goes to the error stream, so that the output holds the tables alone."""
    print(text, file=sys.stderr, flush=True)
