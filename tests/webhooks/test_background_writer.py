"""What is written in the background delays nobody, and its loss costs a line in the log and nothing else."""

from __future__ import annotations

import threading
import time

import pytest

from recordings.background import BackgroundWriter
from recordings.engine.supervisor import Supervisor


@pytest.fixture
def hanging(background_writer):
    """`hanging(**options)`: a writer whose `write` waits for `release`, and the list of what it has written."""
    release = threading.Event()

    def make(**options):
        written = []

        def write(value):
            assert release.wait(10)
            written.append(value)

        return background_writer(write, **options), written, release

    yield make
    release.set()


def test_a_database_that_hangs_delays_nobody_and_what_is_too_much_is_dropped(hanging, caplog):
    writer, written, release = hanging(limit=2)
    assert [writer.add(number) for number in (1, 2, 3)] == [True, True, False]
    assert not writer.wait(0)
    release.set()
    assert writer.wait(10)
    assert written == [1, 2]
    assert caplog.text.count("a call was answered but is not noted: 2 wait already") == 1


def test_what_waits_is_written_when_the_writer_is_closed_and_what_comes_later_is_dropped(background_writer, caplog):
    written = []
    writer = background_writer(written.append)
    for number in range(50):
        writer.add(number)
    writer.close(10)
    assert written == list(range(50))
    assert writer.add(50) is False
    assert "is not noted: the process is ending" in caplog.text


def test_closing_a_writer_that_hangs_ends_in_time_and_says_what_is_lost(hanging, caplog):
    writer, _, _ = hanging()
    writer.add(1)
    writer.add(2)
    begun = time.monotonic()
    writer.close(0.1)
    assert time.monotonic() - begun < 1
    assert "is not noted: 2 still waited when the process ended" in caplog.text


def test_a_writer_that_breaks_off_is_started_again_and_writes_the_rest(background_writer, caplog):
    written = []

    def write(value):
        if value == "bad":
            raise SystemExit
        written.append(value)

    writer = background_writer(write)
    for value in ("first", "bad", "last"):
        writer.add(value)
    assert writer.wait(10)
    assert written == ["first", "last"]
    assert "broke off; it is started again" in caplog.text


def test_no_thread_runs_before_the_first_value():
    started = []

    def start(name, run):
        started.append(name)
        return Supervisor().start(name, run)

    writer = BackgroundWriter("note-calls", lambda value: None, start, loss="")
    assert started == []
    writer.add(1)
    writer.add(2)
    writer.close()
    assert started == ["note-calls"]


def test_where_no_thread_can_be_had_the_value_is_dropped(caplog):
    def start(name, run):
        raise RuntimeError("can't start new thread")

    writer = BackgroundWriter("note-calls", lambda value: None, start, loss="not noted")
    assert writer.add(1) is False
    assert writer.wait(0)
    writer.close()
    assert "not noted: can't start new thread" in caplog.text
