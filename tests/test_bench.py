"""The report of the benchmarks: what it says of figures that were recorded. No clock is asserted here."""

from __future__ import annotations

import subprocess
import sys
from types import ModuleType

import pytest

from bench import report
from bench.report import Section
from bench.stage import LeftOut, Options
from bench.table import UNKNOWN, Row, at_most, below, compared, reasons, table
from tests.test_house import ROOT

REASON = "each event is committed."
FAST = compared("events", [900.0, 1200.0, 1000.0], "no-op", [2000.0, 2000.0, 2500.0], "/s", least=0.4, reason=REASON)
SLOW = compared("events", [500.0], "no-op", [2000.0], "/s", least=0.4, reason=REASON)


def benchmark(run):
    """A benchmark as `report` sees it."""
    module = ModuleType("bench.invented", "How fast a thing is.\n\nMore about it.")
    module.run = run
    return module


def fails(options):
    raise RuntimeError("The server ended.\nits log")


def is_left_out(options):
    raise LeftOut("curl is not installed")


def test_the_ratio_is_the_median_of_the_ratios_of_the_rounds():
    assert FAST.ratio == 0.45
    assert (FAST.ours, FAST.theirs) == ("1,000/s (900-1,200)", "2,000/s (2,000-2,500)")


def test_both_sides_have_as_many_rounds():
    with pytest.raises(ValueError, match="shorter"):
        compared("events", [1.0, 2.0], "no-op", [1.0], "/s")


def test_a_goal_says_why_it_is_missed_and_only_then():
    assert not FAST.missed
    assert reasons([FAST]) == []
    assert SLOW.missed
    assert reasons([FAST, SLOW]) == [f"events, beside no-op. Why: {REASON}"]


def test_a_missed_goal_into_which_nobody_has_looked_says_so():
    assert reasons([Row("idle", "2.0 %", goal=below(1.0, " %", 2.0))]) == [f"idle. Why: {UNKNOWN}"]


@pytest.mark.parametrize(("value", "reached", "under"), [(9.0, True, True), (10.0, True, False), (11.0, False, False)])
def test_a_bound_may_be_reached_or_must_not_be(value, reached, under):
    assert at_most(10, " ms", value).met is reached
    assert below(10, " ms", value).met is under


def test_a_row_without_a_peer_leaves_its_columns_empty():
    line = table([Row("idle", "0.10 %")], "github").splitlines()[-1]
    assert [cell.strip() for cell in line.strip("|").split("|")] == ["idle", "0.10 %", "", "", "", "", ""]


def test_the_report_holds_the_machine_every_row_and_every_missed_goal():
    sections = [
        Section("fast", "How fast events are.", [FAST], ["3 rounds"]),
        Section("slow", "How slow events are.", [SLOW]),
        Section("curl", "Beside curl.", problem="Left out: curl is not installed"),
    ]
    page = report.markdown({"Machine": "a processor, 2 cores"}, sections)
    assert page.startswith("# Benchmarks\n")
    assert "- **Machine:** a processor, 2 cores" in page
    assert "**1 of 2 goals are met. Without figures: curl.**" in page
    lines = [[cell.strip() for cell in line.split("|")[1:-1]] for line in page.splitlines() if "| events" in line]
    assert lines[0] == ["events", FAST.ours, "no-op", FAST.theirs, "0.45", "ratio ≥ 0.4", "met"]
    assert page.count("| MISSED |") == 1
    assert page.count(f"- **Missed:** events, beside no-op. Why: {REASON}") == 1
    assert "## Curl\n\nBeside curl.\n\n**Left out: curl is not installed**" in page


def test_a_benchmark_that_fails_or_cannot_run_is_named_and_ends_nothing(capsys):
    failed = report.measured("invented", benchmark(fails), Options())
    missing = report.measured("invented", benchmark(is_left_out), Options())
    well = report.measured("invented", benchmark(lambda options: ([FAST], ["a note"])), Options())
    assert (failed.problem, failed.failed) == ("Failed: RuntimeError: The server ended.", True)
    assert (missing.problem, missing.failed) == ("Left out: curl is not installed", False)
    assert (well.about, well.rows, well.notes[0]) == ("How fast a thing is.", [FAST], "a note")
    assert "its log" in capsys.readouterr().err


def test_a_report_replaces_the_last_one_as_a_whole(tmp_path):
    target = tmp_path / "docs" / "benchmarks.md"
    report.write(target, "the first")
    report.write(target, "the second")
    assert [(path.name, path.read_text()) for path in target.parent.iterdir()] == [("benchmarks.md", "the second")]


def test_every_benchmark_is_in_the_report_of_the_documents():
    page = (ROOT / "docs/benchmarks.md").read_text()
    assert [name for name in report.BENCHMARKS if f"\n## {name.capitalize()}\n" not in page] == []


@pytest.mark.slow
def test_a_single_benchmark_writes_a_report_where_it_is_told(tmp_path):
    target = tmp_path / "report.md"
    command = [sys.executable, "-m", "bench", "acknowledge", "--quick", "--to", str(target)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=110)
    assert done.returncode == 0, done.stderr
    assert "events acknowledged" in target.read_text()
    assert "events acknowledged" in done.stdout
