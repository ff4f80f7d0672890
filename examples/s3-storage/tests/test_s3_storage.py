"""What the plugin does to S3, seen by moto. What every backend promises is for `flask contract` to check."""

from __future__ import annotations

import hashlib
import io
import tracemalloc
from collections.abc import Callable, Iterator
from typing import Any

import pluggy
import pytest
import tapekeeper_s3
from tapekeeper_s3 import PART, InvalidKey, ObjectNotFound, S3Error, S3Misconfigured, S3Storage

LABELS: dict[str, Any] = {"content_type": "audio/mpeg", "metadata": {"recording_uuid": "aaaa-bbbb"}}


class Source:
    """What Tapekeeper hands to `put`: something to open, once."""

    def __init__(self, data: bytes, error: Exception | None = None) -> None:
        self.size, self.data, self.error, self.opened = len(data), data, error, 0

    def open(self) -> Stream:
        self.opened += 1
        return Stream(self.data, self.error)


class Stream(io.BytesIO):
    def __init__(self, data: bytes, error: Exception | None) -> None:
        super().__init__(data)
        self.error = error

    def read(self, n: int | None = -1, /) -> bytes:
        data = super().read(n)
        if self.error and len(data) < (n or 0):
            raise self.error
        return data


def read(storage: S3Storage, key: str, *span: int) -> bytes:
    return b"".join(storage.get(key, *span))


def uploads(client: Any) -> list[Any]:
    return client.list_multipart_uploads(Bucket="tapes").get("Uploads", [])


@pytest.fixture
def client(client: Any) -> Iterator[Any]:
    yield client
    assert uploads(client) == [], "parts were left behind"


def test_the_module_offers_the_scheme() -> None:
    manager = pluggy.PluginManager("tapekeeper")
    manager.register(tapekeeper_s3)
    assert manager.subset_hook_caller("register_storage_backends", [])() == [{"s3": S3Storage}]


@pytest.mark.parametrize("size", [1, PART - 1, PART, PART + 1, 2 * PART + 7])
def test_a_recording_comes_back_whole_and_labelled(storage: S3Storage, client: Any, size: int) -> None:
    data, key = bytes(range(256)) * (size // 256) + b"x" * (size % 256), f"2026/{size}.mp3"
    answer = storage.put(key, Source(data), **LABELS)
    sha256 = hashlib.sha256(data).hexdigest()
    uri = f"s3://tapes/test_a_recording_comes_back_whole_and_labelled/{key}"
    assert answer == {"size": size, "sha256": sha256, "created": True, "uri": uri}
    assert read(storage, key) == data
    head = storage.head(key)
    assert (head["size"], head["content_type"], head["metadata"]) == (size, "audio/mpeg", LABELS["metadata"])
    assert head["checksums"] == ({"sha256": sha256} if size < PART else {}), "S3 has no SHA-256 of many parts"


class Measuring(Source):
    """Audio of several parts, made as it is read; notes before each read how much memory is in use."""

    def __init__(self, parts: int) -> None:
        super().__init__(b"")
        self.size, self.left, self.in_use = parts * PART, parts, []

    def open(self) -> Measuring:
        return self

    def read(self, n: int) -> bytes:
        self.in_use.append(tracemalloc.get_traced_memory()[0])
        self.left -= 1
        return bytes(n) if self.left >= 0 else b""

    def __enter__(self) -> Measuring:
        return self

    def __exit__(self, *_: object) -> None:
        pass


def test_no_part_stays_in_memory_once_it_is_sent(storage: S3Storage) -> None:
    source = Measuring(parts=4)
    tracemalloc.start()
    try:
        storage.put("a.mp3", source, **LABELS)
    finally:
        tracemalloc.stop()
    before, *later = source.in_use
    assert len(later) == 4
    assert max(later) - before < PART // 2, "an earlier part is still in memory while the next one is read"


def test_a_taken_key_is_not_opened(storage: S3Storage) -> None:
    storage.put("a.mp3", Source(b"first"), **LABELS)
    second = Source(b"second")
    answer = storage.put("a.mp3", second, **LABELS)
    assert (answer["created"], answer["size"], second.opened) == (False, 5, 0)
    assert answer["sha256"] == hashlib.sha256(b"first").hexdigest()


@pytest.mark.parametrize("size", [10, 2 * PART])
def test_the_first_of_two_writers_wins(storage: S3Storage, client: Any, size: int) -> None:
    class Late(Source):
        def open(self) -> Stream:
            storage.put(f"{size}.mp3", Source(b"first"), **LABELS)
            return super().open()

    answer = storage.put(f"{size}.mp3", Late(b"x" * size), **LABELS)
    assert (answer["created"], answer["size"]) == (False, 5)
    assert read(storage, f"{size}.mp3") == b"first"


@pytest.mark.parametrize("size", [10, PART + 10])
def test_an_error_of_the_source_passes_unchanged_and_leaves_nothing(storage: S3Storage, client: Any, size: int) -> None:
    error = ConnectionResetError("Vonage hung up")
    with pytest.raises(ConnectionResetError) as caught:
        storage.put("a.mp3", Source(b"x" * size, error), **LABELS)
    assert caught.value is error
    with pytest.raises(ObjectNotFound):
        storage.head("a.mp3")


def test_bytes_that_changed_on_the_way_are_refused_for_now(
    storage: S3Storage, client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(storage._client, "complete_multipart_upload", refusing("BadDigest"))
    with pytest.raises(S3Error, match="BadDigest") as caught:
        storage.put("a.mp3", Source(b"x" * PART), **LABELS)
    assert (caught.value.retryable, caught.value.blocked) == (True, False)


def refusing(code: str) -> Callable[..., Any]:
    def refuse(**_: Any) -> Any:
        answer: Any = {"Error": {"Code": code, "Message": "on purpose"}}
        raise tapekeeper_s3.ClientError(answer, "Operation")

    return refuse


@pytest.mark.parametrize(
    ("code", "blocked", "mend"),
    [
        ("AccessDenied", True, "rights"),
        ("ExpiredToken", True, "AWS_SESSION_TOKEN"),
        ("PermanentRedirect", True, "AWS_REGION"),
        ("SlowDown", False, "SlowDown"),
        ("InternalError", False, "InternalError"),
        ("ConditionalRequestConflict", False, "Conflict"),
    ],
)
def test_what_s3_refuses_is_said_with_the_mend(
    storage: S3Storage, monkeypatch: pytest.MonkeyPatch, code: str, blocked: bool, mend: str
) -> None:
    monkeypatch.setattr(storage._client, "put_object", refusing(code))
    with pytest.raises(S3Error, match=mend) as caught:
        storage.put("a.mp3", Source(b"x"), **LABELS)
    assert (caught.value.retryable, caught.value.blocked) == (True, blocked)


def test_a_missing_bucket_is_a_fault_to_mend(make: Callable[..., S3Storage]) -> None:
    storage = make("s3://nobody-made-this")
    with pytest.raises(S3Misconfigured, match="Create the bucket"):
        storage.check()
    with pytest.raises(S3Misconfigured, match="Create the bucket"):
        storage.put("a.mp3", Source(b"x"), **LABELS)


def test_a_store_that_is_away_is_tried_again(make: Callable[..., S3Storage]) -> None:
    with pytest.raises(S3Error) as caught:
        make(AWS_ENDPOINT_URL_S3="http://127.0.0.1:9").check()
    assert (caught.value.retryable, caught.value.blocked) == (True, False)


@pytest.mark.parametrize("url", ["s3://", "s3:///prefix", "s3://bucket?x=1", "s3://key:secret@bucket"])
def test_a_wrong_url_is_refused_without_its_secret(make: Callable[..., S3Storage], url: str) -> None:
    with pytest.raises(S3Misconfigured, match="write s3://bucket/prefix") as caught:
        make(url)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("key", ["", "/a", "a//b", "../a", ".a", "a.", "a b", "a\\b", "é", "x" * 201])
def test_a_key_that_no_store_keeps_is_refused_unopened(storage: S3Storage, key: str) -> None:
    source = Source(b"x")
    with pytest.raises(InvalidKey) as caught:
        storage.put(key, source, **LABELS)
    assert (source.opened, caught.value.retryable) == (0, False)


def test_ranges_listing_and_deleting(storage: S3Storage) -> None:
    for key in ("b/1", "a", "b/2", "bb"):
        storage.put(key, Source(b"0123456789"), **LABELS)
    assert [info["key"] for info in storage.list("b/")] == ["b/1", "b/2"]
    spans = [(0, 4), (3, 5), (8, 99), (10, 12), (99, 100), (5, 5)]
    assert [read(storage, "a", *span) for span in spans] == [b"0123", b"34", b"89", b"", b"", b""]
    storage.delete("a")
    storage.delete("a")
    with pytest.raises(ObjectNotFound):
        read(storage, "a", 5, 5)
    assert [(info["key"], info["size"]) for info in storage.list()] == [("b/1", 10), ("b/2", 10), ("bb", 10)]


def test_a_signed_url_needs_no_other_credentials(storage: S3Storage) -> None:
    url = storage.signed_url("a.mp3", 10**9) or ""
    assert "X-Amz-Signature=" in url
    assert "X-Amz-Expires=604800" in url, "a week is the most that S3 takes"
