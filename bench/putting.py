"""One way of putting bytes into one store, in a fresh process: `python -m bench.putting STORE WAY STREAMS BYTES`.

STORE is `local`, `gcs`, `azure` or `s3`; WAY is `ours`, `theirs`, or `checked`: theirs with all that it offers to make
sure that the store holds what was sent. BENCH_TARGET says where: a folder, an address, or Azure's connection string. It
answers with the seconds that STREAMS transfers of BYTES at once took, and by how many bytes they raised the process's
peak memory over idle.
"""

from __future__ import annotations

import hashlib
import importlib
import os
import sys
import time
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Self

from . import machine

MIB = 1024 * 1024
Put = Callable[[str, "Audio"], object]


class Audio:
    """A source of so many bytes that cost next to nothing; ours opens it, the SDKs read it as a file."""

    content_type = "audio/mpeg"
    _block = memoryview(os.urandom(8 * MIB))

    def __init__(self, size: int) -> None:
        self.size = size
        self._position = 0

    def open(self) -> Self:
        return self

    def read(self, n: int = -1, /) -> bytes:
        """New bytes each time, as from a network; fewer than were asked for only at the end."""
        n = min(n if n >= 0 else 4 * MIB, self.size - self._position)
        if n > len(self._block):
            raise ValueError(f"No way of storing should ask for {n:,} bytes at once.")
        self._position += n
        return bytes(self._block[:n])

    def tell(self) -> int:
        return self._position

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass


def ours(store: str, target: str) -> Put:
    """The backend's `put`, as the pipeline calls it."""
    backend: Any
    if store == "local":
        from backends.local.storage import LocalStorage

        backend = LocalStorage.from_url(f"file://{target}", {})
    elif store == "gcs":
        from backends.gcs.storage import GoogleCloudStorage

        backend = GoogleCloudStorage.from_url("gs://bench", {"STORAGE_EMULATOR_HOST": target})
    elif store == "s3":
        backend = importlib.import_module("tapekeeper_s3").S3Storage.from_url("s3://bench", dict(os.environ))
    else:
        from backends.azure.storage import AzureBlobStorage

        backend = AzureBlobStorage.from_url("az://bench", {"AZURE_STORAGE_CONNECTION_STRING": target})
    return lambda key, audio: backend.put(key, audio, content_type="audio/mpeg", metadata={"recording_uuid": key})


def theirs(store: str, target: str, *, checked: bool = False) -> Put:
    """The fastest that each SDK offers with bounded memory; for a folder, a plain file with an fsync."""
    return {"local": _plain_file, "gcs": _google, "azure": _microsoft, "s3": _amazon}[store](target, checked)


def _plain_file(target: str, checked: bool) -> Put:
    def put(key: str, audio: Audio) -> None:
        digest = hashlib.sha256()
        with open(f"{target}/{key}", "xb") as file:
            while piece := audio.read(MIB):
                file.write(piece)
                if checked:
                    digest.update(piece)
            file.flush()
            os.fsync(file.fileno())

    return put


def _google(target: str, checked: bool) -> Put:
    from google.auth.credentials import AnonymousCredentials
    from google.cloud.storage import Client

    client: Any = Client(project="bench", credentials=AnonymousCredentials(), client_options={"api_endpoint": target})  # type: ignore[no-untyped-call]
    checksum = "crc32c" if checked else None

    def put(key: str, audio: Audio) -> None:
        client.bucket("bench").blob(key, chunk_size=4 * MIB).upload_from_file(audio, checksum=checksum)

    return put


def _microsoft(target: str, checked: bool) -> Put:
    from azure.storage.blob import BlobServiceClient

    service = BlobServiceClient.from_connection_string(target, max_block_size=4 * MIB, max_single_put_size=MIB)
    container = service.get_container_client("bench")

    def put(key: str, audio: Audio) -> None:
        container.upload_blob(key, audio, length=audio.size, validate_content=checked)  # type: ignore[arg-type]

    return put


def _amazon(target: str, checked: bool) -> Put:
    boto3: Any = importlib.import_module("boto3")
    transfer: Any = importlib.import_module("boto3.s3.transfer")
    client = boto3.client("s3", endpoint_url=target, region_name=os.environ["AWS_REGION"])
    config = transfer.TransferConfig(multipart_chunksize=5 * MIB, use_threads=False)
    extra = {"ChecksumAlgorithm": "CRC32"} if checked else {}

    def put(key: str, audio: Audio) -> None:
        client.upload_fileobj(audio, "bench", key, Config=config, ExtraArgs=extra)

    return put


def main() -> None:
    """Warm up, so that imports and connections are idle's and not the transfer's; then measure."""
    store, way, streams, size = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    target = os.environ["BENCH_TARGET"]
    put = ours(store, target) if way == "ours" else theirs(store, target, checked=way == "checked")
    with ThreadPoolExecutor(streams) as pool:
        list(pool.map(put, _keys(streams), [Audio(1000) for _ in range(streams)]))
        machine.forget_peak(os.getpid())
        before, began = machine.peak(os.getpid()), time.perf_counter()
        audios = [Audio(size) for _ in range(streams)]
        list(pool.map(put, _keys(streams), audios))
        print(time.perf_counter() - began, machine.peak(os.getpid()) - before)
    if any(audio.tell() != size for audio in audios):
        raise RuntimeError("A transfer ended before the end of its audio.")


def _keys(count: int) -> list[str]:
    return [f"{uuid.uuid4()}.mp3" for _ in range(count)]


if __name__ == "__main__":
    main()
