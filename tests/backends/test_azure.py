"""Azure Blob Storage on Microsoft's own emulator: uploads, reading, signing, settings."""

from __future__ import annotations

import base64
import logging
import threading
import urllib.error
import urllib.request
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from azure.storage.blob import BlobClient, ContentSettings, StandardBlobTier

from backends.azure.storage import AzureBlobStorage
from backends.azure.upload import BLOCK
from plugins.fakes import FakeSource, body, sha256_of
from recordings.errors import ObjectNotFound, SourceTruncated, StorageConfigurationError, StoragePermissionError
from tests.services.emulators import ACCOUNT, connection_string

KEY = "2026/11/22/a.mp3"


def put(store: AzureBlobStorage, size: int = 1000, key: str = KEY, **source: Any) -> Any:
    metadata = {"recording_uuid": "r"}
    return store.put(key, FakeSource(size, **source), content_type="audio/mpeg", metadata=metadata)


@pytest.fixture
def raw(container: str, azurite_address: str) -> BlobClient:
    """The same key, by the SDK alone."""
    access = connection_string(azurite_address)
    with BlobClient.from_connection_string(access, container, f"tapes/{KEY}") as client:
        yield client


def test_a_blob_carries_prefix_content_type_metadata_and_sha256(
    azure: AzureBlobStorage, raw: BlobClient, container: str, azurite_address: str
) -> None:
    result = put(azure, 1000)
    info = azure.head(KEY)
    assert result.uri == info.uri == f"{azurite_address}/{ACCOUNT}/{container}/tapes/{KEY}"
    assert (info.key, info.size, info.content_type) == (KEY, 1000, "audio/mpeg")
    assert info.metadata == {"recording_uuid": "r"}
    assert info.checksums == {"sha256": sha256_of(0, 1000)}
    assert raw.get_blob_properties().metadata["sha256"] == sha256_of(0, 1000), "for whoever reads it without us"


def test_an_md5_that_another_tool_left_is_told(azure: AzureBlobStorage, raw: BlobClient) -> None:
    raw.upload_blob(b"x")
    raw.set_http_headers(ContentSettings(content_md5=bytearray(b"0123456789abcdef")))
    assert azure.head(KEY).checksums["md5"] == b"0123456789abcdef".hex()


@pytest.mark.parametrize("size", [0, 1, BLOCK - 1, BLOCK, BLOCK + 1])
def test_blocks_fit_together(azure: AzureBlobStorage, size: int) -> None:
    result = put(azure, size)
    assert (result.size, result.sha256, result.created) == (size, sha256_of(0, size), True)
    assert b"".join(azure.get(KEY)) == body(0, 0, size)
    assert b"".join(azure.get(KEY, 0, 10)) == body(0, 0, min(size, 10))


def test_of_many_writers_one_wins_and_the_others_describe_its_blob(azure: AzureBlobStorage) -> None:
    gate = threading.Barrier(6)

    def meet(position: int) -> None:
        if position == 0:
            gate.wait(10)

    with ThreadPoolExecutor(6) as pool:
        results = list(pool.map(lambda seed: put(azure, 1000 + seed, seed=seed, on_read=meet), range(6)))
    (winner,) = (seed for seed, result in enumerate(results) if result.created)
    assert {(result.size, result.sha256) for result in results} == {(1000 + winner, sha256_of(winner, 1000 + winner))}
    assert b"".join(azure.get(KEY)) == body(winner, 0, 1000 + winner)


def test_a_taken_key_is_described_and_its_source_never_opened(azure: AzureBlobStorage) -> None:
    put(azure, 1000)
    source = FakeSource(5)
    result = azure.put(KEY, source, content_type="audio/mpeg", metadata={})
    assert (result.created, result.size, result.sha256, source.opens) == (False, 1000, sha256_of(0, 1000), 0)


def test_after_an_upload_that_broke_off_the_key_is_free(azure: AzureBlobStorage, raw: BlobClient) -> None:
    error = SourceTruncated("3 of 10 bytes")
    with pytest.raises(SourceTruncated) as caught:
        put(azure, 2 * BLOCK, error=error, fails_at=BLOCK + 5)
    assert caught.value is error
    assert len(raw.get_block_list("uncommitted")[1]) == 1, "what is left there is invisible"
    assert list(azure.list()) == []
    assert put(azure, BLOCK + 1, seed=2).created
    assert b"".join(azure.get(KEY)) == body(2, 0, BLOCK + 1)


def test_blocks_that_another_tool_left_are_explained(azure: AzureBlobStorage, raw: BlobClient) -> None:
    raw.stage_block("short", b"from another tool")
    with pytest.raises(StorageConfigurationError, match="unfinished upload under this name") as caught:
        put(azure)
    assert caught.value.blocked


def test_a_missing_container_is_a_fault_of_the_settings(
    make_azure: Callable[..., AzureBlobStorage], azurite_address: str
) -> None:
    store = make_azure("nowhere", {"AZURE_STORAGE_CONNECTION_STRING": connection_string(azurite_address)})
    for act in (store.check, lambda: put(store), lambda: list(store.list()), lambda: store.head(KEY)):
        with pytest.raises(StorageConfigurationError, match=r"ContainerNotFound.*Create the container"):
            act()


def test_check_leaves_nothing_in_sight(azure: AzureBlobStorage, raw: BlobClient) -> None:
    azure.check()
    azure.check()
    assert list(azure.list()) == []


def test_an_archived_blob_says_how_to_read_it(azure: AzureBlobStorage, raw: BlobClient) -> None:
    put(azure)
    raw.set_standard_blob_tier(StandardBlobTier.ARCHIVE)
    with pytest.raises(StorageConfigurationError, match=r"BlobArchived.*Archive tier"):
        azure.get(KEY)
    assert azure.head(KEY).size == 1000


def test_a_leased_blob_says_so(azure: AzureBlobStorage, raw: BlobClient) -> None:
    put(azure)
    lease = raw.acquire_lease()
    with pytest.raises(StoragePermissionError, match="lease"):
        azure.delete(KEY)
    lease.release()
    azure.delete(KEY)


def test_a_folder_of_a_hierarchical_account_is_not_listed(azure: AzureBlobStorage, raw: BlobClient) -> None:
    raw.upload_blob(b"", metadata={"hdi_isfolder": "true"})
    put(azure, 1, "b.mp3")
    assert [info.key for info in azure.list()] == ["b.mp3"]


def test_a_signed_url_serves_until_it_ends_and_nothing_but_its_blob(azure: AzureBlobStorage) -> None:
    put(azure, 1000)
    put(azure, 10, "other.mp3")
    url = azure.signed_url(KEY, 60)
    assert url
    with urllib.request.urlopen(url) as reply:
        assert (reply.read(), reply.headers["Content-Type"]) == (body(0, 0, 1000), "audio/mpeg")
    with pytest.raises(urllib.error.HTTPError, match="403"):
        urllib.request.urlopen(url.replace(KEY, "other.mp3"))


def test_a_download_may_be_left_before_its_end(azure: AzureBlobStorage) -> None:
    put(azure, 3 * 1024 * 1024)
    pieces = azure.get(KEY, 10)
    assert 0 < len(next(pieces)) <= 1024 * 1024
    pieces.close()
    azure.get(KEY).close()  # not even begun


def test_a_missing_blob_is_not_found(azure: AzureBlobStorage) -> None:
    for act in (azure.head, azure.get):
        with pytest.raises(ObjectNotFound):
            act(KEY)
    azure.delete(KEY)


def test_a_wrong_key_is_a_question_of_rights(make_azure: Callable[..., AzureBlobStorage], azurite_address: str) -> None:
    wrong = base64.b64encode(b"SECRETSECRETSECRET").decode()
    access = connection_string(azurite_address, key=wrong)
    store = make_azure("calls", {"AZURE_STORAGE_CONNECTION_STRING": access})
    for act in (store.check, lambda: put(store), lambda: list(store.list())):
        with pytest.raises(StoragePermissionError, match="AZURE_STORAGE_KEY") as caught:
            act()
        assert wrong not in str(caught.value)


def test_requests_are_not_logged(azure: AzureBlobStorage, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    put(azure)
    assert caplog.records == []
