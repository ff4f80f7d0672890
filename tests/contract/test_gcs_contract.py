"""The contract over Google Cloud Storage: on an emulator that others wrote, and on our own strict one."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from backends.gcs.storage import GoogleCloudStorage
from plugins.contract import Check, Target
from tests.services.emulators import gcs_emulator, strict_gcs

SERVICES = {"emulator": gcs_emulator, "strict": strict_gcs}
WEAK = {"emulator": {"race_has_one_winner": "this emulator ignores ifGenerationMatch"}}


@pytest.fixture(scope="module", params=sorted(SERVICES))
def target(request: pytest.FixtureRequest) -> Iterator[Target]:
    with SERVICES[request.param]("contract") as address:
        url, env = "gs://contract/some/prefix", {"STORAGE_EMULATOR_HOST": address}
        backend = GoogleCloudStorage.from_url(url, env)
        yield Target(backend, spawn_url=url, spawn_env=env, skip=WEAK.get(request.param, {}))
        backend.close()


def test_gcs_keeps_its_promise(check: Check, target: Target) -> None:
    verdict = target.try_out(check)
    if check.name in target.skip:
        pytest.skip(verdict.detail)
    assert verdict.passed, verdict.detail
    assert verdict.tried, verdict.detail
