"""Real and pretend stores for the tests, each in a process of its own: Azurite, gcp-storage-emulator, the strict fake.

Each is a context manager that gives the address. What cannot start here is a skipped test that says what is missing,
and a failed one in CI, where nothing may be missing.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from simulator.processes import free_port

from .databases import NotInstalled
from .servers import give_up

ROOT = Path(__file__).resolve().parents[2]
AZURITE = ROOT / "build/azurite/node_modules/azurite/dist/src/blob/main.js"
AZURITE_INSTALL = "npm install --no-save --prefix build/azurite azurite@3.37.0"

# Azurite's published account: https://learn.microsoft.com/azure/storage/common/storage-connect-azurite
ACCOUNT = "devstoreaccount1"
KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="


def connection_string(endpoint: str, account: str = ACCOUNT, key: str = KEY) -> str:
    return f"DefaultEndpointsProtocol=http;AccountName={account};AccountKey={key};BlobEndpoint={endpoint}/{account};"


@contextmanager
def azurite(*more: str) -> Iterator[str]:
    """Its address, `http://127.0.0.1:port` (https with `--cert`); without telemetry, in memory, any API version."""
    node = shutil.which("node")
    if not node:
        give_up(NotInstalled("Node.js is not installed, and Azurite, the Azure emulator, runs on it."))
    if not AZURITE.exists():
        give_up(NotInstalled(f"Azurite is not installed: {AZURITE_INSTALL}"))
    port = free_port()
    switches = ["--inMemoryPersistence", "--silent", "--disableTelemetry", "--skipApiVersionCheck", *more]
    command = [node, str(AZURITE), "--blobHost", "127.0.0.1", "--blobPort", str(port), *switches]
    with running(command, port):
        yield f"{'https' if '--cert' in more else 'http'}://127.0.0.1:{port}"


@contextmanager
def gcs_emulator(*buckets: str) -> Iterator[str]:
    """gcp-storage-emulator with these buckets; its address is for STORAGE_EMULATOR_HOST."""
    port = free_port()
    command = [sys.executable, "-m", "gcp_storage_emulator", "start", "--host", "127.0.0.1", "--port", str(port)]
    with running([*command, "--in-memory", "--quiet"], port):
        url = f"http://127.0.0.1:{port}"
        for bucket in buckets:
            body = f'{{"name": "{bucket}"}}'.encode()
            request = urllib.request.Request(f"{url}/storage/v1/b?project=test", body)
            request.add_header("Content-Type", "application/json")
            urllib.request.urlopen(request).close()
        yield url


@contextmanager
def strict_gcs(*buckets: str, null_sink: bool = False) -> Iterator[str]:
    """The strict fake in another process, for what measures this one; its address is for STORAGE_EMULATOR_HOST."""
    with running_alone("tests.fakes.strict_gcs", *buckets, *(["--null-sink"] if null_sink else [])) as address:
        yield address


@contextmanager
def running_alone(module: str, *arguments: str) -> Iterator[str]:
    """`python -m <module>` until the end of its input, which is that of the block; the address that it prints."""
    pipe = subprocess.PIPE
    with subprocess.Popen(
        [sys.executable, "-m", module, *arguments], cwd=ROOT, stdin=pipe, stdout=pipe, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip()
        finally:
            process.stdin.close()


@contextmanager
def running(command: list[str], port: int, patience: float = 30) -> Iterator[None]:
    """A server process from when it takes connections until the end of the block."""
    quiet = subprocess.DEVNULL
    # Node writes warnings of its own, which nothing here would read.
    with subprocess.Popen(
        command, stdin=quiet, stdout=quiet, stderr=quiet, env=os.environ | {"NODE_NO_WARNINGS": "1"}
    ) as process:
        try:
            end = time.monotonic() + patience
            while not listening(port):
                if process.poll() is not None or time.monotonic() > end:
                    failure = f"It did not start (exit code {process.poll()}): {' '.join(command)}"
                    give_up(NotInstalled(failure))
            yield
        finally:
            process.terminate()


def listening(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=0.2).close()
    except OSError:
        time.sleep(0.02)
        return False
    return True
