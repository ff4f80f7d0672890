"""Google Cloud Storage against the strict fake: uploads, reading, and every misfortune on the way."""

from __future__ import annotations

import hashlib
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from backends.gcs.storage import GoogleCloudStorage
from backends.gcs.upload import CHUNK
from plugins.fakes import FakeSource, body
from recordings.errors import (
    ChecksumMismatch,
    SourceTruncated,
    StorageConfigurationError,
    StorageError,
    StoragePermissionError,
    StorageUnavailable,
)
from tests.fakes.strict_gcs import StrictGcs

KEY = "2026/11/22/a.mp3"
LARGE = 2 * CHUNK + 1000
BEGIN, SEND, HEAD = (
    {"method": "POST", "path": "uploadType=resumable"},
    {"method": "PUT", "path": "upload_id="},
    {"method": "GET", "path": "/o/tapes%2F"},
)


def put(store: GoogleCloudStorage, size: int = 1000, key: str = KEY, **source: Any) -> Any:
    metadata = {"recording_uuid": "r"}
    return store.put(key, FakeSource(size, **source), content_type="audio/mpeg", metadata=metadata)


def uploads(google: StrictGcs) -> list[str]:
    return [line.split()[0] for line in google.faults.log if "upload_id=" in line]


def test_an_object_carries_prefix_content_type_metadata_and_checksums(gcs: GoogleCloudStorage) -> None:
    result = put(gcs, 1000)
    info = gcs.head(KEY)
    assert result.uri == info.uri == f"gs://calls/tapes/{KEY}"
    assert (info.key, info.size, info.content_type) == (KEY, 1000, "audio/mpeg")
    assert info.metadata == {"recording_uuid": "r"}
    assert info.checksums["md5"] == hashlib.md5(body(0, 0, 1000)).hexdigest()
    assert len(info.checksums["crc32c"]) == 8


@pytest.mark.parametrize("size", [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK])
def test_chunks_fit_together(gcs: GoogleCloudStorage, size: int) -> None:
    result = put(gcs, size)
    assert (result.size, result.created) == (size, True)
    assert b"".join(gcs.get(KEY)) == body(0, 0, size)


RECOVERABLE = [
    (action, where, nth)
    for action in (503, 500, 429, 408, "reset")
    for where, nth in ((HEAD, 1), (BEGIN, 1), (SEND, 1), (SEND, 2), (SEND, 3))
]


@pytest.mark.parametrize(("action", "where", "nth"), RECOVERABLE)
def test_a_passing_fault_is_sat_out(
    google: StrictGcs, gcs: GoogleCloudStorage, action: Any, where: dict[str, str], nth: int
) -> None:
    fault = google.faults.plan(action, nth=nth, times=2, **where)
    result = put(gcs, LARGE)
    assert fault.struck == 2
    assert result.created
    assert b"".join(gcs.get(KEY)) == body(0, 0, LARGE)


@pytest.mark.parametrize("nth", [1, 2, 3])
@pytest.mark.parametrize("action", ["partial", "lost"])
def test_a_chunk_kept_in_part_or_confirmed_in_vain_is_resumed(
    google: StrictGcs, gcs: GoogleCloudStorage, action: str, nth: int
) -> None:
    google.faults.plan(action, nth=nth, **SEND)
    result = put(gcs, LARGE)
    assert (result.created, result.size) == (True, LARGE)
    assert b"".join(gcs.get(KEY)) == body(0, 0, LARGE)


LASTING: list[tuple[Any, dict[str, str], type[StorageError], str]] = [
    *((503, where, StorageUnavailable, "tried again") for where in (HEAD, BEGIN, SEND)),
    *(("reset", where, StorageUnavailable, "tried again") for where in (HEAD, BEGIN, SEND)),
    *((401, where, StoragePermissionError, "credentials") for where in (HEAD, BEGIN, SEND)),
    *((403, where, StoragePermissionError, "Storage Object User") for where in (HEAD, BEGIN, SEND)),
    *((400, where, StorageConfigurationError, "STORAGE_URL") for where in (HEAD, BEGIN, SEND)),
    *((status, SEND, StorageUnavailable, "from the start") for status in (404, 410)),
    (404, BEGIN, StorageConfigurationError, "Create the bucket"),
    (412, SEND, StorageUnavailable, "deleted meanwhile"),  # before we could look at the winner's
]


@pytest.mark.parametrize(("action", "where", "kind", "mend"), LASTING)
def test_a_lasting_fault_gets_its_class_its_words_and_its_mend(
    google: StrictGcs, gcs: GoogleCloudStorage, action: Any, where: dict[str, str], kind: type[StorageError], mend: str
) -> None:
    google.faults.plan(action, times=10_000, **where)
    with pytest.raises(kind, match=mend) as caught:
        put(gcs)
    assert type(caught.value) is kind
    assert "upload_id" not in str(caught.value)
    google.faults.clear()
    assert put(gcs).created, "the key can be used afterwards"


def test_a_rate_limit_said_with_403_is_no_question_of_rights(google: StrictGcs, gcs: GoogleCloudStorage) -> None:
    google.faults.plan(403, reason="rateLimitExceeded", **BEGIN)
    with pytest.raises(StorageUnavailable):
        put(gcs)


@pytest.mark.parametrize("wish", ["120", "Wed, 01 Jan 2200 00:00:00 GMT"])
def test_a_long_retry_after_is_handed_on_and_not_slept_through(
    google: StrictGcs, gcs: GoogleCloudStorage, wish: str
) -> None:
    fault = google.faults.plan(429, times=9, headers={"Retry-After": wish}, **BEGIN)
    with pytest.raises(StorageUnavailable) as caught:
        put(gcs)
    assert caught.value.retry_after is not None
    assert caught.value.retry_after >= 120
    assert fault.struck == 1


def test_bytes_that_change_on_the_way_are_refused_and_nothing_stays(google: StrictGcs, gcs: GoogleCloudStorage) -> None:
    google.faults.plan("spoil", **SEND)
    with pytest.raises(ChecksumMismatch, match="CRC32C"):
        put(gcs)
    assert list(gcs.list()) == []


def test_a_store_that_keeps_other_bytes_unnoticed_is_found_out(google: StrictGcs, gcs: GoogleCloudStorage) -> None:
    google.trusting = True
    google.faults.plan("spoil", **SEND)
    with pytest.raises(ChecksumMismatch, match=r"other bytes .* were deleted"):
        put(gcs)
    assert list(gcs.list()) == []
    assert any("DELETE" in line and "ifGenerationMatch" in line for line in google.faults.log)


def test_a_spoilt_object_that_may_not_be_deleted_is_still_reported_as_spoilt(
    google: StrictGcs, gcs: GoogleCloudStorage
) -> None:
    google.trusting = True
    google.faults.plan("spoil", **SEND)
    google.faults.plan(403, method="DELETE", path="/o/tapes")
    with pytest.raises(ChecksumMismatch, match="could not be deleted"):
        put(gcs)


def test_a_source_that_ends_early_leaves_nothing_and_cancels_the_session(
    google: StrictGcs, gcs: GoogleCloudStorage
) -> None:
    error = SourceTruncated("3 of 10 bytes")
    with pytest.raises(SourceTruncated) as caught:
        put(gcs, LARGE, error=error, fails_at=CHUNK + 5)
    assert caught.value is error
    assert uploads(google) == ["PUT", "DELETE"]
    assert list(gcs.list()) == []


def test_a_source_that_does_not_open_costs_no_session(google: StrictGcs, gcs: GoogleCloudStorage) -> None:
    with pytest.raises(SourceTruncated):
        put(gcs, error=SourceTruncated("no"))
    assert not any(line.startswith("POST") for line in google.faults.log)


def test_a_taken_key_costs_one_request_and_no_download(google: StrictGcs, gcs: GoogleCloudStorage) -> None:
    put(gcs, 1000)
    google.faults.clear()
    source = FakeSource(5)
    result = gcs.put(KEY, source, content_type="audio/mpeg", metadata={})
    assert (result.created, result.size, source.opens) == (False, 1000, 0)
    assert len([line for line in google.faults.log if "/o/" in line]) == 1


def test_of_many_writers_one_wins_and_the_others_describe_its_object(gcs: GoogleCloudStorage) -> None:
    gate = threading.Barrier(6)

    def meet(position: int) -> None:
        if position == 0:
            gate.wait(10)

    with ThreadPoolExecutor(6) as pool:
        results = list(pool.map(lambda seed: put(gcs, 1000 + seed, seed=seed, on_read=meet), range(6)))
    (winner,) = (seed for seed, result in enumerate(results) if result.created)
    assert {result.size for result in results} == {1000 + winner}
    assert b"".join(gcs.get(KEY)) == body(winner, 0, 1000 + winner)


def test_a_missing_bucket_is_a_fault_of_the_settings(google: StrictGcs) -> None:
    store = GoogleCloudStorage.from_url("gs://nowhere", {"STORAGE_EMULATOR_HOST": google.url})
    for act in (store.check, lambda: put(store), lambda: list(store.list()), lambda: store.head(KEY)):
        with pytest.raises(StorageConfigurationError, match=r"does not exist\. Create the bucket"):
            act()
    store.close()


def test_check_begins_an_upload_and_cancels_it(google: StrictGcs, gcs: GoogleCloudStorage) -> None:
    gcs.check()
    assert uploads(google) == ["DELETE"]
    assert list(gcs.list()) == []


@pytest.mark.parametrize("where", [BEGIN, HEAD])
def test_check_finds_missing_rights(google: StrictGcs, gcs: GoogleCloudStorage, where: dict[str, str]) -> None:
    google.faults.plan(403, **where)
    with pytest.raises(StoragePermissionError, match="Storage Object User"):
        gcs.check()


def test_what_is_retained_says_so(google: StrictGcs, gcs: GoogleCloudStorage) -> None:
    put(gcs)
    google.retained.add(f"tapes/{KEY}")
    with pytest.raises(StoragePermissionError, match="retained"):
        gcs.delete(KEY)


def test_pages_are_followed_and_folder_marks_left_out(google: StrictGcs, gcs: GoogleCloudStorage) -> None:
    keys = [f"k/{number}.mp3" for number in range(8)]
    for key in reversed(keys):
        put(gcs, 1, key)
    resource, data = google.buckets["calls"]["tapes/k/0.mp3"]
    google.buckets["calls"]["tapes/k/"] = ({**resource, "name": "tapes/k/"}, data)
    google.buckets["calls"]["other/x"] = ({**resource, "name": "other/x"}, data)
    assert [info.key for info in gcs.list()] == keys
    assert [info.key for info in gcs.list("k/3")] == ["k/3.mp3"]


def test_a_download_that_breaks_off_is_not_taken_for_the_whole(google: StrictGcs, gcs: GoogleCloudStorage) -> None:
    put(gcs, LARGE)
    google.faults.plan("cut", method="GET", path="alt=media")
    with pytest.raises(StorageUnavailable):
        b"".join(gcs.get(KEY))


def test_a_download_comes_in_pieces_and_may_be_left(gcs: GoogleCloudStorage) -> None:
    put(gcs, LARGE)
    pieces = gcs.get(KEY, 10)
    assert 0 < len(next(pieces)) <= 256 * 1024
    pieces.close()
    gcs.get(KEY).close()  # not even begun


def test_a_store_that_never_keeps_anything_is_given_up(google: StrictGcs, gcs: GoogleCloudStorage) -> None:
    google.faults.plan("partial", times=10_000, **SEND)
    with pytest.raises(StorageUnavailable, match="does not keep"):
        put(gcs)


def test_errors_of_the_reader_pass_unchanged(gcs: GoogleCloudStorage) -> None:
    put(gcs)
    pieces = gcs.get(KEY)
    with pytest.raises(ZeroDivisionError):
        pieces.throw(ZeroDivisionError)


@pytest.mark.parametrize(
    "url", ["gs://", "gs:///a", "gs://b?x=1", "gs://b#f", "gs://u:p@b", "gs://b/a b", "gs://b/../c"]
)
def test_a_wrong_url_is_refused_and_named(url: str) -> None:
    with pytest.raises(StorageConfigurationError, match="STORAGE_URL") as caught:
        GoogleCloudStorage.from_url(url, {"STORAGE_EMULATOR_HOST": "http://127.0.0.1:9"})
    assert "u:p" not in str(caught.value)


def test_no_request_is_made_before_the_first_use(google: StrictGcs) -> None:
    store = GoogleCloudStorage.from_url("gs://calls", {"STORAGE_EMULATOR_HOST": google.url.removeprefix("http://")})
    assert google.faults.log == []
    assert put(store).created
    store.close()


def test_an_unreachable_store_is_tried_again_later() -> None:
    store = GoogleCloudStorage.from_url(
        "gs://calls", {"STORAGE_EMULATOR_HOST": "http://127.0.0.1:9"}, first_delay=0.01, retry_for=0.05
    )
    with pytest.raises(StorageUnavailable, match="ConnectionError"):
        store.head(KEY)
    store.close()
