"""The application in several processes: a worker of its own, and two web workers of which one archives."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from simulator.application import Worker


@pytest.fixture
def start_worker():
    """`start_worker(gunicorn, folder)`: a running `flask worker` with the settings of this web process."""
    with contextlib.ExitStack() as killing:

        def start(gunicorn, folder):
            worker = Worker(gunicorn.env, folder / "worker.log")
            worker.spawn()
            killing.callback(worker.kill)
            return worker

        yield start


def test_a_worker_process_archives_what_the_web_process_took_in(deploy, vonage, post, start_worker):
    gunicorn, archive = deploy(EMBEDDED_WORKER="false")
    gunicorn.start()
    before = vonage.add_file()
    recording_uuid = post(gunicorn, before)
    worker = start_worker(gunicorn, archive.folder)
    archive.wait_stored(recording_uuid, before)
    (made,) = vonage.call_flow(gunicorn.url, "split").recordings
    archive.wait_stored(made.recording_uuid, made.file)
    begun = time.monotonic()
    worker.signal(signal.SIGTERM)
    assert worker.wait() == 0
    assert time.monotonic() - begun < 10
    assert "Archiving into file://" in worker.output()
    assert "Traceback" not in worker.output()


def test_a_worker_that_is_killed_leaves_its_copy_to_the_next(deploy, vonage, post, start_worker, until):
    gunicorn, archive = deploy(EMBEDDED_WORKER="false")
    gunicorn.start()
    file = vonage.add_file(faults=["hang"])
    first = start_worker(gunicorn, archive.folder)
    recording_uuid = post(gunicorn, file)
    until(lambda: file.requests, "the fetch is under way")
    first.kill()
    start_worker(gunicorn, archive.folder)
    archive.wait_stored(recording_uuid, file)
    assert file.requests == 2


def test_of_two_web_workers_one_archives_and_the_other_takes_over(deploy, vonage, post, until):
    gunicorn, archive = deploy(WEB_CONCURRENCY="2")
    gunicorn.start()
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
    assert gunicorn.running


def _holder(gunicorn, archive):
    """The web worker that holds the lock: the one that archives."""
    inode = archive.database.worker_lock.stat().st_ino
    for line in Path("/proc/locks").read_text().splitlines():
        _, kind, _, _, pid, file, *_ = line.split()
        if kind == "FLOCK" and file.endswith(f":{inode}"):
            return int(pid)
    raise AssertionError("No process holds the lock.")
