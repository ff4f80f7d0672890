"""A thread of ours that breaks off is started again, and is known by name."""

from __future__ import annotations

import threading

import pytest

from recordings.engine.supervisor import Supervisor


@pytest.mark.parametrize("error", [ValueError("odd"), SystemExit(3), KeyboardInterrupt()])
def test_a_function_that_raises_is_started_again_and_named(until, caplog, error):
    runs, supervisor = [], Supervisor(pause=0.01)

    def run():
        runs.append(1)
        if len(runs) < 3:
            raise error

    thread = supervisor.start("tapekeeper-odd", run)
    thread.join(10)
    assert len(runs) == 3
    assert supervisor.problems() == {"tapekeeper-odd": f"{type(error).__name__}: {error}"}
    assert "tapekeeper-odd broke off" in caplog.text


def test_a_function_that_returns_is_finished_and_no_problem():
    supervisor = Supervisor()
    supervisor.start("tapekeeper-fine", lambda: None).join(10)
    assert supervisor.problems() == {}


def test_a_problem_is_forgotten_when_the_thread_has_run_for_a_minute(clock):
    supervisor = Supervisor(pause=0.01, ticks=lambda: clock.now.timestamp())
    failed = iter([True, False])

    def run():
        if next(failed):
            raise ValueError

    supervisor.start("tapekeeper-odd", run).join(10)
    assert supervisor.problems()
    clock.move(60)
    assert supervisor.problems() == {}


def test_after_the_stop_nothing_is_started_again():
    supervisor, ran = Supervisor(pause=3600), threading.Event()

    def run():
        ran.set()
        raise ValueError

    thread = supervisor.start("tapekeeper-odd", run)
    assert ran.wait(10)
    supervisor.stop(timeout=10)
    assert not thread.is_alive()


def test_a_thread_that_the_system_could_not_give_is_not_waited_for(without_threads):
    supervisor = Supervisor()
    with without_threads(), pytest.raises(RuntimeError):
        supervisor.start("tapekeeper-none", lambda: None)
    supervisor.stop(1)
