"""The contract over every backend: one test id for each promise and store.

A store joins with one file of its own, `tests/contract/test_<store>_contract.py`:

    @pytest.fixture(scope="module")
    def target(...):                        # start the emulator, make the bucket ...
        backend = GcsStorage.from_url(url, env)
        yield Target(backend, spawn_url=url, spawn_env=env)     # what else `run_check` takes: see plugins.contract
        backend.close()

    def test_gcs_keeps_its_promise(check, target):
        verdict = target.try_out(check)
        assert verdict.passed, verdict.detail

`check` comes from here, `Target` from `plugins.contract`. `spawn_url` lets a promise start a child process that opens
the same store by URL (the one about SIGKILL). An emulator belongs in another process: the memory promise measures
this one. `Target(..., skip={"name": "why"})` leaves a promise out, where the emulator is what cannot keep it.
"""

from __future__ import annotations

import pytest

from plugins.contract import CHECKS, Check


@pytest.fixture(params=CHECKS, ids=lambda check: check.name)
def check(request: pytest.FixtureRequest) -> Check:
    return request.param
