"""The Procfile on a platform whose dynos lose their disk: release after release under load, and nothing is lost."""

from __future__ import annotations

import signal

import pytest

from tests.chaos.dynos import Dynos
from tests.chaos.watch import Watch

pytestmark = pytest.mark.timeout(300)  # processes start slowly on a machine that is busy

RELEASES = 3
# Python dies of a second SIGTERM that comes at its very last moment, when all is closed.
ORDERLY = {"web": {0}, "worker": {0, -signal.SIGTERM, 128 + signal.SIGTERM}}


def test_releases_under_load_lose_no_recording_and_tell_the_log_no_number(make_deployment):
    deployment = make_deployment("postgres", kind=Dynos)
    with deployment.running(), deployment.router.serving():
        deployment.release()
        with Watch(deployment, rate=4) as watch:
            for _ in range(RELEASES):
                deployment.release()
        watch.hold_to_archive()
        assert watch.answers.outcomes["recorded"] > 0, watch
        assert len(deployment.statuses) == 2 * RELEASES
        assert [ended for ended in deployment.statuses if ended[1] not in ORDERLY[ended[0]]] == []
    logs = deployment.logs()
    assert "Archiving into" in logs
    assert "4477009000" not in logs
    assert "/webhooks/" not in logs  # no access log at all
