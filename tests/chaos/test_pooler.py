"""PgBouncer in transaction mode, as most hosted poolers are: all is taken in and archived, though nobody can listen."""

from __future__ import annotations

import pytest

from simulator.processes import wait_for
from tests.chaos.caller import Caller
from tests.chaos.deployment import POOLED
from tests.chaos.watch import Watch

pytestmark = pytest.mark.timeout(300)  # processes start slowly on a machine that is busy

EVENTS = 80


def test_everything_is_taken_in_and_archived_behind_a_pooler(make_deployment):
    with make_deployment(POOLED).running(workers=1) as deployment:
        with Watch(deployment) as watch:
            caller = Caller(deployment.files.url, [deployment.webs[0].url], EVENTS, threads=8)
            caller.allow(EVENTS)
            wait_for(lambda: caller.done, "all events are acknowledged", more=lambda: str(watch))
            caller.close()
            wait_for(lambda: not deployment.unfinished(), "all is archived", 60)
        assert set(caller.announced.statuses) == {204}
        assert set(watch.events.outcomes) == {204}, watch
        watch.announced.acknowledged |= caller.announced.acknowledged
        watch.hold_to_promises()
        assert len(watch.announced.acknowledged) >= EVENTS
        for process in deployment.all:
            if process.started:
                assert "prepared statement" not in process.output()
