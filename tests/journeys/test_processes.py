"""The application in several processes: a worker of its own, and two web workers of which one archives."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def worker():
    """`worker(env, log)`: a running `flask worker`."""
    running = []

    def start(env, log):
        with log.open("ab") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "flask", "worker"], cwd=ROOT, env=env, stdout=output, stderr=output
            )
        running.append(process)
        return process

    yield start
    for process in running:
        process.kill()
        process.wait()


def test_a_worker_process_archives_what_the_web_process_took_in(deploy, vonage, post, worker):
    gunicorn, archive = deploy(EMBEDDED_WORKER="false")
    gunicorn.start()
    before = vonage.add_file()
    recording_uuid = post(gunicorn, before)
    log = archive.folder / "worker.log"
    process = worker(gunicorn.env, log)
    archive.wait_stored(recording_uuid, before)
    (made,) = vonage.call_flow(gunicorn.url, "split").recordings
    archive.wait_stored(made.recording_uuid, made.file)
    begun = time.monotonic()
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 0
    assert time.monotonic() - begun < 10
    assert "Archiving into file://" in log.read_text()
    assert "Traceback" not in log.read_text()


def test_a_worker_that_is_killed_leaves_its_copy_to_the_next(deploy, vonage, post, worker, until):
    gunicorn, archive = deploy(EMBEDDED_WORKER="false")
    gunicorn.start()
    file = vonage.add_file(faults=["hang"])
    first = worker(gunicorn.env, archive.folder / "worker.log")
    recording_uuid = post(gunicorn, file)
    until(lambda: file.requests, "the fetch is under way")
    first.kill()
    worker(gunicorn.env, archive.folder / "worker.log")
    archive.wait_stored(recording_uuid, file)
    assert file.requests == 2


def test_of_two_web_workers_one_archives_and_the_other_takes_over(deploy, vonage, post, until):
    gunicorn, archive = deploy()
    gunicorn.start("-w", "2")
    files = [vonage.add_file() for _ in range(8)]
    with ThreadPoolExecutor(8) as pool:
        uuids = list(pool.map(lambda file: post(gunicorn, file), files))
    for recording_uuid, file in zip(uuids, files, strict=True):
        archive.wait_stored(recording_uuid, file)
        assert file.requests == 1
    file = vonage.add_file(faults=["hang"])
    recording_uuid = post(gunicorn, file)
    until(lambda: file.requests, "the fetch is under way")
    os.kill(_holder(gunicorn, archive), signal.SIGKILL)
    archive.wait_stored(recording_uuid, file)
    assert gunicorn.process.poll() is None


def _holder(gunicorn, archive):
    """The web worker that holds the lock: the one that archives."""
    (lock,) = archive.folder.glob("tapekeeper-*.lock")
    inode = str(lock.stat().st_ino)
    for line in Path("/proc/locks").read_text().splitlines():
        words = line.split()
        if words[1] == "FLOCK" and words[5].endswith(f":{inode}"):
            return int(words[4])
    raise AssertionError("Nobody holds the lock.")
