"""`make demo` as a person starts it: through a pipe it ends by itself, in a terminal it serves until Ctrl-C."""

from __future__ import annotations

import os
import pty
import re
import signal
import subprocess
import sys

import pytest
import requests

from simulator.application import ROOT

CLOSING = re.compile(
    r"All 5 recordings are archived: read back from storage, byte for byte what was served, "
    r"\d+ seconds after the start\."
)


@pytest.fixture
def command(tmp_path):
    return [sys.executable, "-m", "simulator.demo", "--folder", str(tmp_path / "a folder # of mine")]


@pytest.fixture
def start(command, bare_environ):
    """`start(**settings)`: a demo that writes to a terminal; the process, and the function that reads its next line."""
    controller, terminal = pty.openpty()
    lines = os.fdopen(controller, errors="replace")
    running = []

    def make(**settings):
        process = subprocess.Popen(
            command, cwd=ROOT, env=bare_environ | settings, stdin=terminal, stdout=terminal, stderr=terminal
        )
        running.append(process)
        return process, lines.readline

    yield make
    for process in running:
        process.kill()
        process.wait()
    os.close(terminal)
    lines.close()


def archived_files(tmp_path):
    return list((tmp_path / "a folder # of mine/recordings").rglob("*.mp3"))


def read_until(read, pattern):
    """The match of the first line that has one."""
    while not (match := re.search(pattern, read())):
        pass
    return match


def test_through_a_pipe_it_ends_with_the_files_kept_and_named(command, bare_environ, tmp_path):
    done = subprocess.run(command, cwd=ROOT, env=bare_environ, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    assert CLOSING.fullmatch(done.stdout.splitlines()[-1])
    named = re.findall(r"^  (/.*\.mp3)$", done.stdout, re.MULTILINE)
    assert sorted(named) == sorted(map(str, archived_files(tmp_path)))
    assert len(named) == 5


def test_in_a_terminal_it_serves_until_ctrl_c_and_keeps_the_files(start, tmp_path):
    process, read = start()
    read_until(read, CLOSING)
    url = read_until(read, r"(http://127\.0\.0\.1:\d+)")[1]
    assert "Ctrl-C ends it; the files stay." in read()
    assert requests.get(f"{url}/healthz", timeout=5).status_code == 200
    process.send_signal(signal.SIGINT)
    assert process.wait(30) == 0
    assert len(archived_files(tmp_path)) == 5


def test_in_a_terminal_it_waits_no_longer_than_it_is_told(start, tmp_path):
    process, read = start(DEMO_SECONDS="0")
    read_until(read, CLOSING)
    assert process.wait(30) == 0
    assert len(archived_files(tmp_path)) == 5
