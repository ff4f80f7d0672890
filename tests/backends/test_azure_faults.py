"""Azure Blob Storage on an emulator behind a proxy that lets requests fail by plan."""

from __future__ import annotations

from typing import Any

import pytest

from backends.azure.storage import AzureBlobStorage
from backends.azure.upload import BLOCK
from plugins.fakes import FakeSource, body, sha256_of
from recordings.errors import (
    ChecksumMismatch,
    StorageConfigurationError,
    StorageError,
    StoragePermissionError,
    StorageUnavailable,
)
from tests.fakes.faulty_proxy import FaultyProxy

KEY = "a.mp3"
SIZE = BLOCK + 1000
HEAD, STAGE, COMMIT, READ = (
    {"method": "HEAD"},
    {"method": "PUT", "path": "comp=block&"},
    {"method": "PUT", "path": "comp=blocklist"},
    {"method": "GET", "path": KEY},
)


def put(store: AzureBlobStorage, size: int = SIZE) -> Any:
    return store.put(KEY, FakeSource(size), content_type="audio/mpeg", metadata={})


@pytest.mark.parametrize(("where", "nth"), [(HEAD, 1), (HEAD, 2), (STAGE, 1), (STAGE, 2), (COMMIT, 1)])
@pytest.mark.parametrize("action", [503, 500, 408, "reset"])
def test_a_passing_fault_is_sat_out(
    way: FaultyProxy, shaky: AzureBlobStorage, action: Any, where: dict[str, str], nth: int
) -> None:
    fault = way.faults.plan(action, nth=nth, times=2, reason="ServerBusy", **where)
    assert put(shaky).created
    assert fault.struck == 2
    assert b"".join(shaky.get(KEY)) == body(0, 0, SIZE)


def test_a_block_that_was_confirmed_in_vain_is_sent_again(way: FaultyProxy, shaky: AzureBlobStorage) -> None:
    way.faults.plan("lost", **STAGE)
    assert put(shaky).created
    assert b"".join(shaky.get(KEY)) == body(0, 0, SIZE)


def test_a_commit_that_was_confirmed_in_vain_describes_what_is_there(way: FaultyProxy, shaky: AzureBlobStorage) -> None:
    way.faults.plan("lost", **COMMIT)
    result = put(shaky)
    assert (result.size, result.sha256) == (SIZE, sha256_of(0, SIZE))
    assert b"".join(shaky.get(KEY)) == body(0, 0, SIZE)


LASTING: list[tuple[Any, str, dict[str, str], type[StorageError], str]] = [
    *((503, "ServerBusy", where, StorageUnavailable, "tried again") for where in (HEAD, STAGE, COMMIT)),
    *(("reset", "", where, StorageUnavailable, "tried again") for where in (HEAD, STAGE, COMMIT)),
    (429, "TooManyRequests", STAGE, StorageUnavailable, "tried again"),
    (403, "AuthenticationFailed", HEAD, StoragePermissionError, "AZURE_STORAGE_KEY"),
    (401, "InvalidAuthenticationInfo", STAGE, StoragePermissionError, "AZURE_STORAGE_KEY"),
    (403, "AuthorizationPermissionMismatch", STAGE, StoragePermissionError, "Storage Blob Data Contributor"),
    (403, "AuthorizationFailure", COMMIT, StoragePermissionError, "network rules"),
    (404, "ContainerNotFound", STAGE, StorageConfigurationError, "Create the container"),
    (400, "InvalidHeaderValue", STAGE, StorageConfigurationError, "STORAGE_URL"),
    (400, "Md5Mismatch", STAGE, ChecksumMismatch, "tried again"),
    (400, "InvalidBlockList", COMMIT, StorageUnavailable, "tried again"),
    (409, "BlobAlreadyExists", COMMIT, StorageUnavailable, "tried again"),
    (409, "BlobImmutableDueToPolicy", COMMIT, StoragePermissionError, "retained"),
]


@pytest.mark.parametrize(("action", "code", "where", "kind", "mend"), LASTING)
def test_a_lasting_fault_gets_its_class_its_words_and_its_mend(
    way: FaultyProxy,
    shaky: AzureBlobStorage,
    action: Any,
    code: str,
    where: dict[str, str],
    kind: type[StorageError],
    mend: str,
) -> None:
    way.faults.plan(action, reason=code, times=10_000, **where)
    with pytest.raises(kind, match=mend) as caught:
        put(shaky, 1000)
    assert type(caught.value) is kind
    way.faults.clear()
    assert put(shaky, 1000).created, "the key can be used afterwards"


def test_retry_after_is_handed_on(way: FaultyProxy, shaky: AzureBlobStorage) -> None:
    way.faults.plan(503, reason="ServerBusy", times=10_000, headers={"Retry-After": "120"}, **STAGE)
    with pytest.raises(StorageUnavailable) as caught:
        put(shaky, 1000)
    assert caught.value.retry_after == 120


def test_a_block_that_changes_on_the_way_is_refused(way: FaultyProxy, shaky: AzureBlobStorage) -> None:
    way.faults.plan("spoil", **STAGE)
    with pytest.raises(ChecksumMismatch, match="Md5Mismatch"):
        put(shaky)
    assert list(shaky.list()) == []


@pytest.mark.parametrize("nth", [1, 2])
def test_a_download_that_breaks_off_is_not_taken_for_the_whole(
    way: FaultyProxy, shaky: AzureBlobStorage, nth: int
) -> None:
    put(shaky)
    way.faults.plan("cut", nth=nth, times=10_000, **READ)
    with pytest.raises(StorageUnavailable):
        b"".join(shaky.get(KEY))
