"""A short kill storm: processes are killed at random moments, and no acknowledged recording is lost."""

from __future__ import annotations

import pytest

from tests.chaos.deployment import MODES
from tests.chaos.storm import storm

pytestmark = pytest.mark.timeout(300)  # processes start slowly on a machine that is busy

RECORDINGS, KILLS = 30, 4


@pytest.mark.parametrize("mode", MODES)
def test_every_acknowledged_recording_survives_kill_9(make_deployment, mode):
    with make_deployment(mode).running() as deployment:
        account, _, weather = storm(deployment, RECORDINGS, KILLS, seed=7)
    assert account.details == []
    assert account.acknowledged >= RECORDINGS
    assert account.stored == account.acknowledged
    assert sum(weather.struck.values()) == KILLS
