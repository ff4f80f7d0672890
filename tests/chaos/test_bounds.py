"""Full and read-only disks, sources that hang or drip, a flood of events: intake stays up, work resumes by itself."""

from __future__ import annotations

import contextlib

import pytest

from recordings.archive.credentials import ApplicationToken, load_private_key
from recordings.archive.fetch import Fetcher
from recordings.archive.hosts import HostRule
from recordings.errors import SourceUnavailable
from simulator.processes import wait_for
from tests.chaos.flood import flood
from tests.chaos.mounts import read_only, small_disk
from tests.services.databases import NotInstalled
from tests.services.servers import give_up

pytestmark = pytest.mark.timeout(300)  # processes start slowly on a machine that is busy

FULL, SIZE = 512, 100_000


@contextlib.contextmanager
def filled(folder):
    ballast = folder / "ballast"
    ballast.write_bytes(b"x" * (FULL - 64) * 1024)
    yield
    ballast.unlink()


@pytest.mark.parametrize(("fault", "mend"), [(filled, "Free some space"), (read_only, "Mount the volume writable")])
def test_work_resumes_when_the_disk_is_mended(deploy, vonage, announce, tmp_path, fault, mend):
    files = [vonage.add_file(size=SIZE) for _ in range(3)]
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(small_disk(tmp_path / "recordings", FULL))
            broken = stack.enter_context(contextlib.ExitStack())
            broken.enter_context(fault(tmp_path / "recordings"))
        except NotInstalled as missing:
            give_up(missing)
        deployment = stack.enter_context(deploy("embedded"))
        assert [announce(deployment, file).status for file in files] == [204] * 3
        wait_for(lambda: deployment.count("state = 'waiting'") == 3, "each copy waits for the disk")
        assert all(mend in row["copies"][0]["error"] for row in deployment.listed().values())
        assert announce(deployment, vonage.add_file(size=1_000)).status == 204
        broken.close()
        wait_for(lambda: not deployment.unfinished(), "everything is stored on the mended disk")
        sizes = sorted(path.stat().st_size for path in deployment.storage.rglob("*.mp3"))
        assert sizes == [1_000, SIZE, SIZE, SIZE]
        assert len([path for path in deployment.storage.rglob("*") if path.is_file()]) == 8


def test_intake_stays_up_while_every_thread_hangs(deploy, vonage, announce):
    stuck = [vonage.add_file(size=1_000, faults=["hang"]) for _ in range(2)]
    more = [vonage.add_file(size=1_000) for _ in range(20)]
    with deploy("embedded", WORKER_THREADS="2", LEASE_SECONDS="30", WEB_CONCURRENCY="1") as deployment:
        for file in stuck:
            assert announce(deployment, file).status == 204
        wait_for(lambda: all(file.requests for file in stuck), "both threads hang")
        replies = [announce(deployment, file) for file in more]
        assert {reply.status for reply in replies} == {204}
        assert max(reply.seconds for reply in replies) < 1
        deployment.webs[0].kill()
        deployment.webs[0].spawn()  # else both would hang for a minute; the copies without a lease come first
        wait_for(lambda: deployment.count("state = 'stored'") == 20, "the copies without a lease are stored")


@pytest.mark.parametrize(("size", "most"), [(20_000, 130), (2_000_000, 620)])
def test_a_source_that_drips_has_a_deadline_by_its_size(vonage, key_pem, application_id, size, most):
    file, now = vonage.add_file(size=size, faults=["drip:0.05"]), [0.0]

    def ticks():
        now[0] += 50  # the seconds that each receive took
        return now[0]

    token = ApplicationToken(application_id, load_private_key(key_pem))
    fetcher = Fetcher(HostRule.parse((vonage.origin,)), token.mint, ticks=ticks)
    with pytest.raises(SourceUnavailable, match="too slow") as raised, fetcher.open(file.url) as audio:
        audio.read()
    assert "bytes came" in str(raised.value)
    assert now[0] < most + 3 * 50


def test_a_flood_of_events_is_taken_in_within_bounds(make_deployment):
    with make_deployment("worker", pauses="0 0").running() as deployment:
        flooded = flood(deployment, 300, threads=32)
    assert flooded.unanswered == 0
    assert flooded.account.details == []
    assert flooded.account.stored >= 300
    assert flooded.slowest < 5
    assert flooded.grown < 80
