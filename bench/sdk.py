"""Downloads with Vonage's official SDK, in a process of its own.

`python -m bench.sdk KEY FOLDER THREADS` reads URLs from its input.

It answers on its output: seconds from the first download to the last, seconds of processor time, and by how many bytes
its peak memory grew.
"""

from __future__ import annotations

import importlib
import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from tests.services.application import APPLICATION_ID

from . import machine


def main() -> None:
    """Download each URL with `Voice.download_recording`, as its documentation shows."""
    key, folder, threads = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
    warm_up, *urls = sys.stdin.read().split()
    voice = _voice(key)
    voice.download_recording(warm_up, str(folder / "warm-up"))
    machine.forget_peak(os.getpid())
    before, busy, began = machine.peak(os.getpid()), time.process_time(), time.perf_counter()
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(voice.download_recording, urls, [str(folder / f"{n}.mp3") for n in range(len(urls))]))
    print(time.perf_counter() - began, time.process_time() - busy, machine.peak(os.getpid()) - before)


def _voice(key: str) -> Any:
    # By name: the SDK is there for `make bench` alone, and has no types that mypy could find elsewhere.
    client = importlib.import_module("vonage_http_client")
    auth = client.Auth(application_id=APPLICATION_ID, private_key=key)
    return importlib.import_module("vonage_voice").Voice(client.HttpClient(auth))


if __name__ == "__main__":
    main()
