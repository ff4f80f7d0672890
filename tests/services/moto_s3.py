"""S3 as moto plays it, in a process of its own, and the S3 example installed as its users install it."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import boto3

from simulator.processes import free_port
from tests.services.emulators import ROOT, running

EXAMPLE = ROOT / "examples" / "s3-storage"
CREDENTIALS = {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_REGION": "us-east-1"}


@contextmanager
def moto_s3(*buckets: str) -> Iterator[dict[str, str]]:
    """The environment that leads the example to moto, where these buckets are."""
    port = free_port()
    env = CREDENTIALS | {"AWS_ENDPOINT_URL_S3": f"http://127.0.0.1:{port}"}
    with running([sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)], port):
        with closing(s3_client(env)) as client:
            for bucket in buckets:
                client.create_bucket(Bucket=bucket)
        yield env


def s3_client(env: dict[str, str]) -> Any:
    """boto3's own client, to look behind the plugin's back."""
    return boto3.client(
        "s3",
        endpoint_url=env["AWS_ENDPOINT_URL_S3"],
        aws_access_key_id=env["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=env["AWS_SECRET_ACCESS_KEY"],
        region_name=env["AWS_REGION"],
    )


def install(folder: Path) -> Path:
    """The example as a package, below `folder`: a directory for PYTHONPATH. Nothing is downloaded."""
    source, target = folder / "source", folder / "site"
    # A build leaves its traces beside the sources: not in the repository.
    shutil.copytree(
        EXAMPLE, source, ignore=shutil.ignore_patterns("build", "*.egg-info", "__pycache__", ".pytest_cache")
    )
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--no-build-isolation"]
    subprocess.run(
        [*command, "--disable-pip-version-check", "--target", str(target), str(source)],
        check=True,
        capture_output=True,
        timeout=100,
    )
    return target
