"""Whole deployments for one test, with their processes and their server."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from simulator import PretendVonage, ServedFile
from tests.chaos.deployment import Deployment
from tests.services.databases import NotInstalled
from tests.services.servers import give_up


@pytest.fixture
def make_deployment(tmp_path: Path) -> Callable[..., Deployment]:
    """`make_deployment(mode, …)`: see `deployment.Deployment`; the test is skipped where a server is not installed."""

    def make(mode: str, *, kind: type[Deployment] = Deployment, **more: Any) -> Deployment:
        try:
            return kind(mode, tmp_path, **more)
        except NotInstalled as missing:
            return give_up(missing)

    return make


@pytest.fixture
def deploy(
    make_deployment: Callable[..., Deployment], vonage: PretendVonage, key_pem: str
) -> Callable[..., contextlib.AbstractContextManager[Deployment]]:
    """`with deploy(mode, workers=1, **settings)`: a running deployment that fetches from this test's pretend Vonage."""

    @contextlib.contextmanager
    def run(mode: str, *, workers: int = 2, **settings: str) -> Iterator[Deployment]:
        settings = {"VONAGE_PRIVATE_KEY": key_pem, "RECORDING_HOSTS": vonage.origin, **settings}
        with make_deployment(mode, **settings).running(workers=workers, files=False) as deployment:
            yield deployment

    return run


@pytest.fixture
def announce(vonage: PretendVonage) -> Callable[..., Any]:
    """`announce(deployment, file)`: Vonage tells of the file; the answer to it."""

    def tell(deployment: Deployment, file: ServedFile, web: int = 0) -> Any:
        url = f"{deployment.webs[web].url}/webhooks/recordings"
        return vonage.post_recording_event(url, vonage.recording_event(file)).replies[0]

    return tell
