"""What is known of each part is read without waiting, and gets old, and every change is logged once."""

from __future__ import annotations

import threading

import pytest

from recordings.care.readiness import PartCheck, Readiness, Report
from recordings.engine.supervisor import Supervisor


@pytest.fixture
def make_readiness():
    """`make_readiness(*checks)`: a readiness whose threads end with the test."""
    made = []

    def make(*checks, **more):
        supervisor = Supervisor(pause=0.01)
        made.append((Readiness(checks, supervisor.start, **{"watch": 0.01} | more), supervisor))
        return made[-1][0]

    yield make
    for readiness, supervisor in made:
        readiness.stop()
        supervisor.stop(2)


def quick(part, run):
    return PartCheck(part, run, every=0.01, soon=0.01)


def test_nothing_is_known_and_no_thread_runs_before_the_start(make_readiness):
    before = threading.active_count()
    report = make_readiness(quick("database", lambda: None)).report()
    assert list(report.unknown) == ["database"]
    assert threading.active_count() == before


def test_problems_and_warnings_are_told_by_part_and_gone_with_their_cause(make_readiness, until, caplog):
    caplog.set_level("INFO")
    faults = {"database": "read-only"}

    def database():
        if text := faults.get("database"):
            raise RuntimeError(text)

    readiness = make_readiness(quick("database", database), quick("disk", lambda: "nearly full"))
    readiness.start()
    readiness.start()
    until(lambda: readiness.report() == Report({"database": "read-only"}, {"disk": "nearly full"}), "both are known")
    until(lambda: "/readyz, disk: nearly full" in caplog.text, "the warning is logged")
    faults.clear()
    until(lambda: not readiness.report().problems, "the mend shows")
    until(lambda: "/readyz, database: as it should be again." in caplog.text, "the mend is logged")
    assert caplog.text.count("/readyz, database: read-only") == 1


def test_a_warning_is_looked_at_again_soon_so_that_it_is_gone_with_its_cause(make_readiness, until):
    warnings = iter(["No worker was seen yet."])
    readiness = make_readiness(PartCheck("worker", lambda: next(warnings, None), every=3600, soon=0.01))
    readiness.start()
    until(lambda: readiness.report() == Report(), "the worker was seen")


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt(), RuntimeError("odd")])
def test_whatever_a_check_raises_is_a_problem_and_it_is_run_again(make_readiness, until, error):
    runs = []

    def check():
        runs.append(1)
        raise error

    readiness = make_readiness(quick("storage 1", check))
    readiness.start()
    until(lambda: len(runs) > 2, "it is run again")
    assert readiness.report().problems == {"storage 1": str(error) or type(error).__name__}


def test_a_check_that_hangs_is_a_problem_and_is_not_started_again_and_holds_up_no_other(make_readiness, until):
    runs, others, go_on = [], [], threading.Event()

    def hang():
        runs.append(1)
        go_on.wait(30)

    readiness = make_readiness(quick("storage 1", hang), quick("storage 2", lambda: others.append(1)), hangs=0.2)
    readiness.start()
    until(lambda: "does not answer" in readiness.report().problems.get("storage 1", ""), "the hanging check is known")
    before = len(others)
    until(lambda: len(others) > before + 2, "the other part is looked at all the same")
    assert runs == [1]
    go_on.set()
    until(lambda: not readiness.report().problems, "it answers again")


def test_a_result_that_is_too_old_is_a_problem(make_readiness, until, clock):
    check = PartCheck("database", lambda: None, every=3600)
    readiness = make_readiness(check, ticks=lambda: clock.now.timestamp())
    readiness.start()
    until(lambda: readiness.report() == Report(), "it was looked at")
    clock.move(90)
    assert readiness.report() == Report()
    clock.move(1)
    assert "not looked at for more than 90 s" in readiness.report().problems["database"]


def test_a_secret_in_an_error_is_masked(make_readiness, until):
    def check():
        raise RuntimeError("ftp://archiver:S3cretPass@files.example is away")

    readiness = make_readiness(quick("storage 1", check))
    readiness.start()
    until(lambda: readiness.report().problems, "the problem is known")
    assert "S3cretPass" not in readiness.report().problems["storage 1"]


def test_a_check_that_has_begun_is_not_begun_again_when_the_next_one_got_no_thread():
    started, refusals = [], iter([False, True])

    def start(name, run):
        if next(refusals, False):
            raise RuntimeError("can't start new thread")
        started.append(name)

    readiness = Readiness([quick("database", lambda: None), quick("disk", lambda: None)], start)
    with pytest.raises(RuntimeError):
        readiness.start()
    readiness.start()
    readiness.start()
    assert started == ["tapekeeper-check-database", "tapekeeper-check-disk", "tapekeeper-readiness"]
