"""Files that a bad disk has damaged: what can go on goes on, and what cannot is said."""

from __future__ import annotations

import json
import os
import time

import pytest

from simulator.delivery import new_session
from simulator.processes import wait_for
from tests.chaos.watch import Watch

pytestmark = pytest.mark.timeout(300)  # processes start slowly on a machine that is busy

SECONDS = 3
PAGE = 4096


def overwrite(path, start, count):
    """So many bytes from `start` on become noise."""
    with path.open("r+b") as file:
        file.seek(start)
        file.write(os.urandom(count))


def problems(deployment):
    """What `/readyz` names, once it knows."""
    with new_session() as session:
        return session.get(f"{deployment.webs[0].url}/readyz", timeout=5).json()["problems"]


@pytest.mark.parametrize("start", [0, PAGE])
def test_a_damaged_catalogue_refuses_events_and_answers_calls(make_deployment, start):
    with make_deployment("worker").running() as deployment:
        with Watch(deployment) as before:
            wait_for(lambda: deployment.count("state = 'stored'") > 2, "the catalogue holds something")
        before.hold_to_promises()
        assert deployment.stop() < 25
        assert deployment.catalogue.stat().st_size > 8 * PAGE
        overwrite(deployment.catalogue, start, deployment.catalogue.stat().st_size - start)
        for process in deployment.all:
            process.spawn()
        deployment.webs[0].wait_until_ready()
        with Watch(deployment, pages=("/readyz",)) as watch:
            wait_for(lambda: "database" in problems(deployment), "/readyz names the database")
            time.sleep(SECONDS)
        assert set(watch.answers.outcomes) == {"recorded"}, watch
        assert watch.answers.p99 < 1, watch
        assert set(watch.events.outcomes) == {503}, watch
        assert max(watch.events.seconds) < 10, watch
        assert set(watch.pages["/readyz"].outcomes) == {503}, watch


def test_a_damaged_write_ahead_log_costs_only_what_stood_in_it(make_deployment):
    with make_deployment("worker").running() as deployment:
        log = deployment.catalogue.with_name(f"{deployment.catalogue.name}-wal")
        with Watch(deployment) as before:
            wait_for(lambda: deployment.count("state = 'stored'") > 2, "the catalogue holds something")
        before.hold_to_promises()
        for process in deployment.all:
            process.kill()
        assert log.stat().st_size > PAGE
        overwrite(log, 0, log.stat().st_size)
        for process in deployment.all:
            process.start()
        with Watch(deployment) as watch:
            time.sleep(SECONDS)
        assert set(watch.events.outcomes) == {204}, watch
        wait_for(lambda: not deployment.unfinished(), "what came after it is archived")
        listed = deployment.listed()
        assert all(listed[recording]["state"] == "stored" for recording in watch.announced.acknowledged)


def test_a_recording_that_is_damaged_in_its_store_is_found_and_mended(make_deployment):
    with make_deployment("worker").running() as deployment:
        with Watch(deployment) as watch:
            wait_for(lambda: deployment.count("state = 'stored'") > 2, "something is stored")
        watch.hold_to_promises()
        assert findings(deployment) == []
        damaged = next(path for path in deployment.storage.rglob("*.mp3"))
        overwrite(damaged, 0, 500)
        (found,) = findings(deployment, "--repair")
        assert found["recording_uuid"] == damaged.stem
        wait_for(lambda: not deployment.unfinished(), f"it is stored again: {found}")
        assert findings(deployment) == []


def findings(deployment, *options):
    """What `flask recordings verify` finds wrong with the copies."""
    done = deployment.flask("recordings", "verify", "--deep", "--no-objects", "--json", *options, fails=1)
    return [json.loads(line) for line in done.splitlines()]
