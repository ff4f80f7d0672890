"""The file by which web processes agree who archives is in other hands: nothing is lost, and archiving begins.

That archiving begins after two minutes beside a process that never lets the file go, stands in
`tests/recordings/engine/test_embedded.py`.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import sys
import time

import pytest

from simulator.application import Checkout
from tests.chaos.watch import Watch
from tests.services.databases import NotInstalled
from tests.services.servers import give_up

pytestmark = pytest.mark.timeout(300)  # processes start slowly on a machine that is busy

SECONDS = 5


@pytest.fixture
def without_special_rights(tmp_path):
    """A checkout whose processes may open only what the mode of a file lets them; to root it lets all."""
    if os.geteuid() != 0:
        return Checkout()
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        give_up(NotInstalled("setpriv is not installed: apt-get install util-linux"))
    python = tmp_path / "python"
    rights = "--bounding-set=-dac_override,-dac_read_search"
    python.write_text(f'#!/bin/sh\nexec {setpriv} {rights} {sys.executable} "$@"\n')
    python.chmod(0o755)
    return Checkout(python=str(python))


def lock_file(deployment):
    return deployment.catalogue.with_name(f"{deployment.catalogue.name}.worker")


def test_a_lock_file_that_may_not_be_opened_keeps_nothing_from_being_archived(make_deployment, without_special_rights):
    deployment = make_deployment("embedded", checkout=without_special_rights)
    lock = lock_file(deployment)
    lock.touch(mode=0o000)
    with deployment.running():
        with Watch(deployment) as watch:
            time.sleep(SECONDS)
        watch.hold_to_promises()
        assert set(watch.events.outcomes) == {204}, watch
        assert f"{lock}, by which the web processes agree who archives, cannot be opened" in deployment.webs[0].output()


def test_while_another_program_holds_the_lock_events_are_taken_in_and_archived_as_soon_as_it_ends(make_deployment):
    deployment = make_deployment("embedded", LOG_LEVEL="INFO")
    with lock_file(deployment).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with deployment.running():
            with Watch(deployment) as watch:
                time.sleep(SECONDS)
            assert deployment.count("state = 'stored'") == 0
            assert "stands by: another one holds" in deployment.webs[0].output()
            fcntl.flock(lock, fcntl.LOCK_UN)
            watch.hold_to_promises()
            assert set(watch.events.outcomes) == {204}, watch
