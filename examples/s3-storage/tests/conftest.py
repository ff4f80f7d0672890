"""A moto server, which plays S3 on a loopback port in a process of its own, with one bucket."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import boto3
import pytest
from tapekeeper_s3 import S3Storage

CREDENTIALS = {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_REGION": "us-east-1"}


def answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=0.2).close()
    except OSError:
        time.sleep(0.02)
        return False
    return True


@pytest.fixture(scope="session")
def env() -> Iterator[dict[str, str]]:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        try:
            end = time.monotonic() + 30
            while not answers(port):
                assert server.poll() is None, "moto's server ended"
                assert time.monotonic() < end, "moto's server did not start"
            yield CREDENTIALS | {"AWS_ENDPOINT_URL_S3": f"http://127.0.0.1:{port}"}
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
