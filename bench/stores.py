"""How fast, and in how much memory, bytes go into each store, beside the store's own SDK at its best.

The clouds are sinks on this machine that throw the bytes away: what is measured is the client.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

from simulator.application import ROOT

from .stage import Options, folder
from .table import Row, compared

MIB = 1024 * 1024
SIZE, QUICK = 500 * MIB, 100 * MIB
ROUNDS, QUICK_ROUNDS = 3, 1
MANY = 8
GOAL, ONE_GOAL, MANY_GOAL = 0.8, 16 * MIB, 64 * MIB

SINKS = {"gcs": ["tests.fakes.strict_gcs", "bench", "--null-sink"], "azure": ["bench.sinks"]}
BARE = {"local": "a file with fsync", "gcs": "upload_from_file, no checksum", "azure": "upload_blob, no checksum"}
CHECKED = {
    "local": "a file with fsync and SHA-256",
    "gcs": "upload_from_file with crc32c",
    "azure": "upload_blob with validate_content",
}


def run(options: Options) -> tuple[list[Row], list[str]]:
    """Measure each transfer in a fresh process, alternating our backend and the SDK; then eight transfers at once."""
    size, rounds = (QUICK, QUICK_ROUNDS) if options.quick else (SIZE, ROUNDS)
    rows: list[Row] = []
    with ExitStack() as stack:
        targets = {"local": str(stack.enter_context(folder()))}
        targets |= {store: stack.enter_context(_sink(module)) for store, module in SINKS.items()}
        for store, target in targets.items():
            rows += _one_at_a_time(store, target, size, rounds)
            rows.append(_many(store, target, size // MANY))
    note = f"{rounds} rounds of {size // MIB} MiB in 4 MiB parts; ours also makes the SHA-256, and verifies"
    return rows, [note]


def _one_at_a_time(store: str, target: str, size: int, rounds: int) -> Iterator[Row]:
    ways = ("ours", "theirs", "checked")
    results = [[_put(store, way, target, 1, size) for way in ways] for _ in range(rounds)]
    mine, bare, checked = ([size / MIB / seconds for seconds, _ in side] for side in zip(*results, strict=True))
    yield compared(f"{store}: one recording, beside {BARE[store]}", mine, bare, GOAL, " MiB/s")
    yield compared(f"{store}: the same, beside {CHECKED[store]}", mine, checked, GOAL, " MiB/s")
    grown, their_growth, _ = (max(growth for _, growth in side) for side in zip(*results, strict=True))
    yield _memory(f"{store}: memory over idle", grown, their_growth, ONE_GOAL)


def _many(store: str, target: str, size: int) -> Row:
    grown, their_growth = (_put(store, way, target, MANY, size)[1] for way in ("ours", "theirs"))
    return _memory(f"{store}: memory over idle, {MANY} at once", grown, their_growth, MANY_GOAL)


def _memory(what: str, grown: int, their_growth: int, most: int) -> Row:
    ours, theirs = (f"{growth / MIB:.1f} MiB" for growth in (grown, their_growth))
    return Row(what, ours, theirs, None, f"<= {most // MIB} MiB", grown <= most)


def _put(store: str, way: str, target: str, streams: int, size: int) -> tuple[float, int]:
    command = [sys.executable, "-m", "bench.putting", store, way, str(streams), str(size)]
    done = subprocess.run(command, cwd=ROOT, env={**os.environ, "BENCH_TARGET": target}, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{store}, {way}: the transfer failed.\n{done.stderr}")
    seconds, grown = done.stdout.split()
    if store == "local":
        subprocess.run(["find", target, "-name", "*.mp3", "-delete"], check=True)
    return float(seconds), int(grown)


@contextmanager
def _sink(module: Sequence[str]) -> Iterator[str]:
    """A sink in a process of its own, until its input is closed; its address."""
    process = subprocess.Popen(
        [sys.executable, "-m", *module], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with process:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
        process.terminate()
