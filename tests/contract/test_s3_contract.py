"""The contract over the S3 example, on moto."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from plugins.contract import Check, Target
from plugins.manager import load_plugins
from tests.services.moto_s3 import EXAMPLE, moto_s3


@pytest.fixture(scope="module")
def target() -> Iterator[Target]:
    with moto_s3("contract") as env:
        url = "s3://contract/some/prefix"
        # Its one module serves as a drop-in file, too.
        backend = load_plugins([], plugins_dir=EXAMPLE, entry_points=[]).backend(url, env, contained=False)
        yield Target(backend, spawn_url=url, spawn_env=env)
        backend.close()


def test_the_s3_example_keeps_its_promise(check: Check, target: Target) -> None:
    verdict = target.try_out(check)
    assert verdict.passed, verdict.detail
    assert verdict.tried, verdict.detail
