"""A store that takes connections and says nothing: the store beside it gets every copy, and the doors stay open."""

from __future__ import annotations

import socket
import time

import pytest

from tests.chaos.watch import Watch

pytestmark = pytest.mark.timeout(300)  # processes start slowly on a machine that is busy

SECONDS = 8


@pytest.fixture
def silent_server():
    """The address of a server whose kernel takes connections, and that never reads from them."""
    with socket.create_server(("127.0.0.1", 0), backlog=512) as listener:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


def test_a_store_that_hangs_holds_up_neither_the_other_store_nor_a_door(make_deployment, tmp_path, silent_server):
    storages = f"file://{tmp_path}/recordings gs://bucket"
    settings = {"STORAGE_URL": storages, "STORAGE_EMULATOR_HOST": silent_server, "WEB_CONCURRENCY": "1"}
    with make_deployment("embedded", **settings).running() as deployment:
        with Watch(deployment, rate=5, pages=("/readyz",)) as watch:
            time.sleep(SECONDS)
        watch.hold_to_promises()
        assert set(watch.events.outcomes) == {204}, watch
        assert max(watch.pages["/readyz"].seconds) < 1, watch
        assert deployment.count("state = 'stored' AND storage = 'gs://bucket'") == 0
