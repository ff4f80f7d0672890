"""A plugin that hangs or exits in whatever it does: calls are answered, and copies are archived all the same."""

from __future__ import annotations

import re
import shutil
import time
from pathlib import Path

import pytest

from simulator.processes import wait_for
from tests.chaos.watch import Watch

pytestmark = pytest.mark.timeout(300)  # processes start slowly on a machine that is busy

SECONDS = 8
BACKGROUND_HOOKS = "object_key recording_stored recording_failed recording_missing"
ANSWER_HOOK_SECONDS = 3  # how long a caller waits for a plugin, at most: docs/plugins.md


@pytest.fixture
def with_bad_plugin(make_deployment, tmp_path):
    """`with_bad_plugin(mode, how, hooks, …)`: a deployment with `bad_plugin`, which hangs or exits in these hooks."""

    def make(mode, how, hooks="", **settings):
        (tmp_path / "calls").touch()
        bad = {"BAD_HOW": how, "BAD_HOOKS": hooks, "BAD_CALLS": str(tmp_path / "calls")}
        deployment = make_deployment(mode, **bad, **settings)
        shutil.copy(Path(__file__).with_name("bad_plugin.py"), deployment.plugins)
        return deployment

    return make


def calls(folder):
    """What the plugin was called for."""
    return set((folder / "calls").read_text().split())


@pytest.mark.parametrize(("how", "more"), [("hang", ()), ("exit", ("recording_failed",))])
def test_a_plugin_that_fails_in_all_that_it_does_for_the_archive_holds_up_nothing(with_bad_plugin, tmp_path, how, more):
    storages = f"file://{tmp_path}/recordings bad://{tmp_path}/bad"
    settings = {"STORAGE_URL": storages, "BAD_PUT": "1", "WORKER_THREADS": "16", "WEB_CONCURRENCY": "1"}
    with with_bad_plugin("embedded", how, BACKGROUND_HOOKS, **settings).running() as deployment:
        with Watch(deployment) as watch:
            time.sleep(SECONDS)
        watch.hold_to_promises()
        assert set(watch.events.outcomes) == {204}, watch
        assert calls(tmp_path) == {"object_key", "recording_stored", "put", *more}
        keys = [copy["key"] for row in deployment.listed().values() for copy in row["copies"] if copy["key"]]
        assert all(re.match(r"\d{4}/\d\d/\d\d/CON-", key) for key in keys)  # STORAGE_KEY_TEMPLATE


@pytest.mark.parametrize(("how", "seconds"), [("hang", ANSWER_HOOK_SECONDS + 1), ("exit", 1)])
def test_the_configured_flow_answers_in_place_of_a_plugin_that_fails(with_bad_plugin, tmp_path, how, seconds):
    with with_bad_plugin("worker", how, "answer_call").running() as deployment:
        with Watch(deployment) as watch:
            time.sleep(SECONDS)
        watch.hold_to_promises(answer_seconds=seconds)
        assert set(watch.events.outcomes) == {204}, watch
        assert calls(tmp_path) == {"answer_call"}


def test_work_that_hangs_on_one_worker_is_taken_over_by_a_healthy_one(with_bad_plugin, tmp_path):
    storages = {"STORAGE_URL": f"bad://{tmp_path}/recordings", "LEASE_SECONDS": "3"}
    deployment = with_bad_plugin("postgres", "hang", **storages)
    hanging, healthy = deployment.workers
    hanging.env["BAD_PUT"] = "1"
    with deployment.running(workers=1):
        with Watch(deployment) as watch:
            wait_for(lambda: calls(tmp_path) == {"put"}, "a copy hangs")
            healthy.start()
            time.sleep(SECONDS)
        watch.hold_to_promises()
