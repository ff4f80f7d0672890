"""SIGTERM, as platforms send it: a copy in work is finished, or given back for another worker to take at once."""

from __future__ import annotations

import signal
import time

import pytest

from simulator.processes import wait_for
from tests.chaos.deployment import seconds_to_end

pytestmark = pytest.mark.timeout(300)  # processes start slowly on a machine that is busy

# Heroku kills 30 s after its SIGTERM, Docker and Kubernetes after what they are told.
PATIENCE = 25


@pytest.mark.parametrize("mode", ["worker", "embedded"])
def test_running_downloads_are_finished_before_the_end(deploy, vonage, announce, mode):
    files = [vonage.add_file(size=20_000, faults=["drip:0.15"]) for _ in range(4)]
    with deploy(mode) as deployment:
        for file in files:
            assert announce(deployment, file).status == 204
        wait_for(lambda: all(file.requests for file in files), "every download runs")
        for process in deployment.all:
            for _ in range(3):  # Heroku may send several
                process.signal(signal.SIGTERM)
        assert max(seconds_to_end(process, PATIENCE) for process in deployment.all) < 10
        rows = deployment.listed().values()
        assert {(row["state"], row["copies"][0]["attempts"]) for row in rows} == {("stored", 1)}
        assert [file.requests for file in files] == [1] * 4


def test_a_download_that_does_not_end_is_given_back_and_taken_at_once(deploy, vonage, announce):
    file = vonage.add_file(size=20_000, faults=["hang"])
    with deploy("postgres", workers=1, LEASE_SECONDS="60") as deployment:
        first, second = deployment.workers
        assert announce(deployment, file).status == 204
        wait_for(lambda: file.requests, "the download hangs")
        second.start()
        first.signal(signal.SIGTERM)
        assert seconds_to_end(first, PATIENCE) > 15  # it was given its time
        ended = time.monotonic()
        wait_for(lambda: not deployment.unfinished(), "the second worker stores it", 10)
        assert time.monotonic() - ended < 5  # and not only when the lease of 60 s is over
        assert next(iter(deployment.listed().values()))["copies"][0]["attempts"] == 1
        assert file.requests == 2


def test_a_frozen_worker_is_fenced_off(deploy, vonage, announce):
    file = vonage.add_file(size=20_000, faults=["drip:0.3"])
    with deploy("postgres", workers=1) as deployment:
        frozen, other = deployment.workers
        assert announce(deployment, file).status == 204
        wait_for(lambda: file.requests, "the download runs")
        frozen.signal(signal.SIGSTOP)
        other.spawn()
        wait_for(lambda: not deployment.unfinished(), "the other worker takes it over when the lease is over")
        before = deployment.listed()
        frozen.signal(signal.SIGCONT)
        wait_for(lambda: "Lost" in frozen.output() or "took over" in frozen.output(), "the thawed worker hears of it")
        assert deployment.stop() < PATIENCE
        assert deployment.listed() == before
        (copy,) = next(iter(before.values()))["copies"]
        assert copy["attempts"] == 2
        assert copy["sha256"] == file.sha256
        stored = [path.name for path in deployment.storage.rglob("*") if path.is_file()]
        assert len(stored) == 2, stored  # the audio and its sidecar
