"""How fast, and in how much memory, bytes go into each store, beside the store's own SDK with the same checks."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import NamedTuple

import pytest
from azure.storage.blob import BlobServiceClient

from simulator.application import ROOT
from tests.services.emulators import azurite, connection_string, gcs_emulator, running_alone, strict_gcs
from tests.services.moto_s3 import EXAMPLE, moto_s3

from .stage import Options, folder
from .table import Row, at_most, compared, spread

MIB = 1024 * 1024
SIZE, QUICK_SIZE = 500 * MIB, 100 * MIB
EMULATOR_SIZE, QUICK_EMULATOR_SIZE = 64 * MIB, 16 * MIB  # Google's emulator copies an object as often as it has parts
ROUNDS, QUICK_ROUNDS = 5, 1
MANY = 8
GOAL, ONE_GOAL, MANY_GOAL = 0.8, 16.0, 64.0


class Peer(NamedTuple):
    """What is beside ours, and what ours does more than it."""

    name: str
    reason: str


BARE = {
    "local": Peer("a file with fsync", "ours makes the SHA-256 of each byte, and the peer makes no checksum."),
    "gcs": Peer("upload_from_file, no checksum", "ours makes the crc32c of each byte, and the peer none."),
    "azure": Peer("upload_blob, no checksum", "ours makes the SHA-256 and the MD5 of each byte, and the peer neither."),
}
CHECKED = {
    "local": Peer("a file with fsync and SHA-256", "ours also looks for the object beforehand, and syncs the folder."),
    "gcs": Peer("upload_from_file with crc32c", "ours also looks for the object beforehand."),
    "azure": Peer(
        "upload_blob with validate_content", "ours also makes the SHA-256, and asks for the blob before and afterwards."
    ),
    "s3": Peer("upload_fileobj with CRC32", "ours also makes the SHA-256, and looks for the object beforehand."),
}


@dataclass(frozen=True)
class Store:
    """`kind` is what `putting` calls it, `place` what stands in for the cloud; `serve` gives its environment."""

    kind: str
    place: str
    serve: Callable[[], AbstractContextManager[dict[str, str]]]
    is_sink: bool = False

    @property
    def title(self) -> str:
        return f"{self.kind}, {self.place}"


def run(options: Options) -> tuple[list[Row], list[str]]:
    """Measure each transfer in a fresh process, in turns of ours and the SDK's."""
    rounds = QUICK_ROUNDS if options.quick else ROUNDS
    size, small = (QUICK_SIZE, QUICK_EMULATOR_SIZE) if options.quick else (SIZE, EMULATOR_SIZE)
    rows: list[Row] = []
    notes = [
        f"{rounds} rounds of {size // MIB} MiB, with an emulator {small // MIB} MiB, in parts of 4 MiB (S3: 5 MiB)",
        "a sink throws the bytes away, so that the client alone is measured; an emulator keeps and checks them, and "
        "is slower than any client",
        "memory is what the transfers add to an idle process, and its goal is about the largest of all rounds; "
        f"{MANY} transfers at once are measured in one round",
    ]
    for store in STORES:
        try:
            with store.serve() as env:
                rows += _rows(store, env, size if store.is_sink else small, rounds)
        except (pytest.skip.Exception, pytest.fail.Exception) as missing:
            notes.append(f"{store.title} was left out: {missing}")
    return rows, notes


def _rows(store: Store, env: dict[str, str], size: int, rounds: int) -> Iterator[Row]:
    ways = ("ours", "checked", "theirs") if store.is_sink else ("ours", "checked")
    results = [[_put(store.kind, way, env, 1, size) for way in ways] for _ in range(rounds)]
    sides = dict(zip(ways, zip(*results, strict=True), strict=True))
    rates = {way: [size / MIB / seconds for seconds, _ in side] for way, side in sides.items()}
    growth = {way: [grown / MIB for _, grown in side] for way, side in sides.items()}
    peers = {"checked": CHECKED, "theirs": BARE}
    for way in ways[1:]:
        peer = peers[way][store.kind]
        title = f"{store.title}: one recording"
        yield compared(title, rates["ours"], peer.name, rates[way], " MiB/s", least=GOAL, reason=peer.reason)
    name = CHECKED[store.kind].name
    yield _memory(f"{store.title}: memory", growth["ours"], name, growth["checked"], ONE_GOAL)
    if store.is_sink:
        many = [[_put(store.kind, way, env, MANY, size // MANY)[1] / MIB] for way in ways[:2]]
        yield _memory(f"{store.title}: memory, {MANY} at once", many[0], name, many[1], MANY_GOAL)


def _memory(what: str, ours: list[float], peer: str, theirs: list[float], most: float) -> Row:
    goal = at_most(most, " MiB", max(ours))
    return Row(what, spread(ours, " MiB"), peer, spread(theirs, " MiB"), None, goal)


def _put(kind: str, way: str, env: dict[str, str], streams: int, size: int) -> tuple[float, int]:
    """Seconds, and the bytes of memory that the transfers added."""
    command = [sys.executable, "-m", "bench.putting", kind, way, str(streams), str(size)]
    done = subprocess.run(command, cwd=ROOT, env=os.environ | env, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{kind}, {way}: the transfer failed.\n{done.stderr}")
    seconds, grown = done.stdout.split()
    if kind == "local":
        subprocess.run(["find", env["BENCH_TARGET"], "-name", "*.mp3", "-delete"], check=True)
    return float(seconds), int(grown)


@contextmanager
def _folder() -> Iterator[dict[str, str]]:
    with folder() as path:
        yield {"BENCH_TARGET": str(path)}


@contextmanager
def _gcs_sink() -> Iterator[dict[str, str]]:
    with strict_gcs("bench", null_sink=True) as address:
        yield {"BENCH_TARGET": address}


@contextmanager
def _azure_sink() -> Iterator[dict[str, str]]:
    with running_alone("bench.sinks") as address:
        yield {"BENCH_TARGET": connection_string(address)}


@contextmanager
def _gcs_emulator() -> Iterator[dict[str, str]]:
    with gcs_emulator("bench") as address:
        yield {"BENCH_TARGET": address}


@contextmanager
def _azurite() -> Iterator[dict[str, str]]:
    with azurite() as address:
        target = connection_string(address)
        with BlobServiceClient.from_connection_string(target) as service:
            service.create_container("bench")
        yield {"BENCH_TARGET": target}


@contextmanager
def _moto() -> Iterator[dict[str, str]]:
    with moto_s3("bench") as env:
        yield env | {"BENCH_TARGET": env["AWS_ENDPOINT_URL_S3"], "PYTHONPATH": str(EXAMPLE)}


STORES = (
    Store("local", "a folder", _folder, is_sink=True),
    Store("gcs", "a sink", _gcs_sink, is_sink=True),
    Store("azure", "a sink", _azure_sink, is_sink=True),
    Store("gcs", "gcp-storage-emulator", _gcs_emulator),
    Store("azure", "Azurite", _azurite),
    Store("s3", "moto", _moto),
)
