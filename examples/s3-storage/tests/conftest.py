"""A moto server, which plays S3 on a loopback port in a process of its own, with one bucket."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import boto3
import pytest
from tapekeeper_s3 import S3Storage

CREDENTIALS = {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_REGION": "us-east-1"}


@pytest.fixture(scope="session")
def env(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    log = tmp_path_factory.mktemp("moto") / "log"
    # Port 0: it takes any free one, and says which.
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", "0"]
    with log.open("wb") as output, subprocess.Popen(command, stdout=output, stderr=output) as server:
        try:
            end = time.monotonic() + 30
            while not (listens := re.search(r"Running on (http://[\w.:]+)", log.read_text())):
                assert server.poll() is None, f"moto's server ended: {log.read_text()}"
                assert time.monotonic() < end, f"moto's server did not start: {log.read_text()}"
                time.sleep(0.02)
            yield CREDENTIALS | {"AWS_ENDPOINT_URL_S3": listens[1]}
        finally:
            server.terminate()


@pytest.fixture(scope="session")
def client(env: dict[str, str]) -> Iterator[object]:
    """boto3's own client, to look behind the plugin's back."""
    client = boto3.client(
        "s3",
        endpoint_url=env["AWS_ENDPOINT_URL_S3"],
        aws_access_key_id="key",
        aws_secret_access_key="secret",
        region_name="us-east-1",
    )
    client.create_bucket(Bucket="tapes")
    yield client
    client.close()


@pytest.fixture
def make(env: dict[str, str], client: object) -> Iterator[Callable[..., S3Storage]]:
    """`make(url, **changes)`: a storage with these changes to its environment."""
    made: list[S3Storage] = []

    def make(url: str = "s3://tapes/calls", **changes: str) -> S3Storage:
        made.append(S3Storage.from_url(url, env | changes))
        return made[-1]

    yield make
    for storage in made:
        storage.close()


@pytest.fixture
def storage(make: Callable[..., S3Storage], request: pytest.FixtureRequest) -> S3Storage:
    """Below a prefix of this test's own."""
    return make(f"s3://tapes/{request.node.name.partition('[')[0]}")
