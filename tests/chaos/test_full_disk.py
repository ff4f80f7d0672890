"""Catalogue and recordings share a disk that is too small: events are taken in for as long as audio waits for room."""

from __future__ import annotations

import time

import pytest

from simulator.processes import wait_for
from tests.chaos.mounts import resize, small_disk
from tests.chaos.watch import Watch
from tests.services.databases import NotInstalled
from tests.services.servers import give_up

pytestmark = pytest.mark.timeout(300)  # processes start slowly on a machine that is busy

SECONDS, KIBIBYTES, SIZE = 4, 24 * 1024, 1_500_000


@pytest.fixture
def disk(tmp_path):
    """A small disk of its own."""
    folder = tmp_path / "disk"
    try:
        with small_disk(folder, KIBIBYTES):
            yield folder
    except NotInstalled as missing:
        give_up(missing)


def test_events_are_taken_in_while_audio_waits_for_room(make_deployment, disk):
    settings = {"DATABASE_URL": f"sqlite:///{disk}/tapekeeper.db", "STORAGE_URL": f"file://{disk}/recordings"}
    with make_deployment("embedded", **settings).running() as deployment:
        with Watch(deployment, rate=4, sizes=(SIZE, 200_000)) as watch:
            wait_for(lambda: watch.announced.acknowledged, "the first event is taken in")
            wait_for(lambda: deployment.count("state = 'waiting'") > 5, "copies wait for room")
            time.sleep(SECONDS)
        assert set(watch.events.outcomes) == {204}, watch
        waiting = [row["copies"][0]["error"] for row in deployment.listed().values() if row["state"] == "waiting"]
        assert all("kept free" in error for error in waiting), waiting
        resize(disk, 16 * KIBIBYTES)
        watch.hold_to_promises()
