"""Audio through us: ranges to the byte, long replies counted, and a sentence whenever a store gives nothing."""

from __future__ import annotations

import hashlib
import random
import re
import threading
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from flask import Flask, request

from backends.local.storage import LocalStorage
from console.audio import audio_response, download_name, peaks_json, recording_response
from console.bodies import MOST_BYTES, AudioLimits
from plugins.fakes import FakeSource, body
from recordings.errors import ObjectNotFound, StorageUnavailable
from recordings.model import Copy, Recording, State, Waveform
from recordings.timeouts import TimeLimit

MIB = 1024 * 1024
SIZE = 3 * MIB + 17
SMALL = 1000
KEY = "2026/a.mp3"
NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)


def content(size=SIZE):
    return body(1, 0, size)


def copy_of(size=SIZE, **changes):
    fields = {"storage": "file:///tapes", "key": KEY, "state": State.STORED, "size": size, "content_type": "audio/mpeg"}
    fields |= {"sha256": hashlib.sha256(content(size)).hexdigest(), "attempts": 1, "error": None, "stored_at": NOW}
    return Copy(**fields | changes)


def recording_of(*copies, **changes):
    fields = {"application_id": "a", "recording_uuid": "aaaaaaaa-bbbb-cccc-dddd-0123456789ab", "state": State.STORED}
    fields |= {"conversation_uuid": "CON-1", "recording_url": "", "size": None, "start_time": NOW, "end_time": None}
    return Recording(**fields | {"received_at": NOW, "copies": copies} | changes)


class Counted(LocalStorage):
    """Notes every range that is asked of it."""

    def __init__(self, root):
        super().__init__(root)
        self.ranges = []

    def get(self, key, start=0, end=None):
        self.ranges.append((start, end))
        return super().get(key, start, end)


@pytest.fixture
def backend(tmp_path):
    storage = Counted(tmp_path)
    storage.put(KEY, FakeSource(SIZE, seed=1), content_type="application/octet-stream", metadata={})
    storage.put("small", FakeSource(SMALL, seed=1), content_type="application/octet-stream", metadata={})
    return storage


@pytest.fixture
def serve(backend):
    """`serve(copy, **options)`: a client of an app whose `/play` and `/download` serve this copy."""

    def make(copy=None, backend=backend, **options):
        app, copy = Flask("audio"), copy or copy_of()
        app.add_url_rule("/play", "play", lambda: audio_response(backend, copy, request, **options))
        app.add_url_rule(
            "/download", "download", lambda: audio_response(backend, copy, request, file_name="a b.mp3", **options)
        )
        return app.test_client()

    return make


RANGES = [  # the header, and the part that it names of SIZE bytes
    ("bytes=0-1", 0, 2),
    ("bytes=0-0", 0, 1),
    ("bytes=100-", 100, SIZE),
    ("bytes=-100", SIZE - 100, SIZE),
    (f"bytes=-{SIZE + 5}", 0, SIZE),
    (f"bytes={SIZE - 3}-{SIZE + 100}", SIZE - 3, SIZE),
    (f"bytes={SIZE - 1}-", SIZE - 1, SIZE),
    ("bytes=5-9999999999999999999", 5, SIZE),
    ("bytes=0-", 0, SIZE),
    ("BYTES= 7-9 ", 7, 10),
    (f"bytes={MIB}-{2 * MIB + 5}", MIB, 2 * MIB + 6),
]
WHOLE = ["bytes=0-1,5-6", "bytes=0-1, 5-", "lines=0-1", "junk", "bytes", "bytes=", "bytes=-", "bytes=5-1", "bytes=a-b"]
WHOLE += [
    "bytes=1-2-3",
    "bytes=--1",
    "bytes=+1-2",
    "bytes=0x1-2",
    "bytes=1",
    "bytes=\u0661-\u0662",
    f"bytes={'9' * 5000}-",
]
BEHIND = [f"bytes={SIZE}-", f"bytes={SIZE + 1}-{SIZE + 5}", "bytes=9999999999999999999-", "bytes=-0"]


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize(("header", "start", "end"), RANGES)
def test_a_player_gets_its_range_at_most_a_mebibyte_at_a_time(serve, backend, method, header, start, end):
    reply = serve().open("/play", method=method, headers={"Range": header})
    end = min(end, start + MOST_BYTES)
    assert reply.status_code == 206
    assert reply.headers["Content-Range"] == f"bytes {start}-{end - 1}/{SIZE}"
    assert reply.headers["Content-Length"] == str(end - start)
    assert reply.data == (content()[start:end] if method == "GET" else b"")
    assert backend.ranges == ([(start, end)] if method == "GET" else []), "nothing else is read from the store"


@pytest.mark.parametrize(("header", "start", "end"), RANGES)
def test_a_download_gets_its_whole_range_so_that_it_can_be_taken_up_again(serve, backend, header, start, end):
    reply = serve().get("/download", headers={"Range": header})
    assert (reply.status_code, reply.headers["Content-Length"]) == (206, str(end - start))
    assert reply.headers["Content-Range"] == f"bytes {start}-{end - 1}/{SIZE}"
    assert reply.data == content()[start:end]
    assert backend.ranges == [(start, end)]


@pytest.mark.parametrize("path", ["/play", "/download"])
@pytest.mark.parametrize("header", [None, *WHOLE])
def test_no_single_range_of_bytes_is_the_whole(serve, path, header):
    headers = {} if header is None else [("Range", header)]
    reply = serve().get(path, headers=headers)
    assert reply.status_code == 200
    assert reply.headers["Content-Length"] == str(SIZE)
    assert "Content-Range" not in reply.headers
    assert reply.data == content()


@pytest.mark.parametrize("path", ["/play", "/download"])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("header", BEHIND)
def test_a_range_behind_the_end_is_refused_with_the_size(serve, backend, path, method, header):
    reply = serve().open(path, method=method, headers={"Range": header})
    assert reply.status_code == 416
    assert reply.headers["Content-Range"] == f"bytes */{SIZE}"
    assert method == "HEAD" or f"{SIZE} bytes" in reply.text
    assert backend.ranges == []


ETAG = f'"{copy_of().sha256}"'


@pytest.mark.parametrize(
    ("if_range", "status"),
    [
        (ETAG, 206),
        (f" {ETAG} ", 206),
        ('"another"', 200),
        (f"W/{ETAG}", 200),
        (copy_of().sha256, 200),
        ("Sun, 22 Nov 2026 12:00:00 GMT", 200),
        ("", 200),
    ],
)
def test_a_range_is_of_the_object_that_was_begun_or_else_the_whole(serve, if_range, status):
    reply = serve().get("/play", headers={"Range": "bytes=5-9", "If-Range": if_range})
    assert reply.status_code == status
    assert reply.data == (content()[5:10] if status == 206 else content())


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("header", [ETAG, f"W/{ETAG}", f'"x", {ETAG}', "*"])
def test_what_the_client_has_already_is_not_sent_again(serve, backend, method, header):
    reply = serve().open("/play", method=method, headers={"If-None-Match": header, "Range": "bytes=0-5"})
    assert (reply.status_code, reply.data, reply.headers["ETag"]) == (304, b"", ETAG)
    assert backend.ranges == []


def test_a_reply_says_what_a_player_must_know(serve):
    for reply in (serve().get("/play", headers={"Range": "bytes=0-1"}), serve().head("/play")):
        headers = {name: reply.headers[name] for name in ("Content-Type", "Accept-Ranges", "ETag", "Cache-Control")}
        assert headers == {
            "Content-Type": "audio/mpeg",
            "Accept-Ranges": "bytes",
            "ETag": ETAG,
            "Cache-Control": "private, no-store",
        }
        assert reply.headers["X-Content-Type-Options"] == "nosniff"
        assert "Content-Disposition" not in reply.headers
        assert "Last-Modified" not in reply.headers


@pytest.mark.parametrize("content_type", ["text/html", "image/svg+xml", None, "application/octet-stream"])
def test_what_is_no_audio_is_never_shown_as_a_page(serve, content_type):
    reply = serve(copy_of(content_type=content_type)).head("/play")
    assert reply.headers["Content-Type"] == "application/octet-stream"


def test_a_head_says_how_long_the_whole_is_and_takes_no_place(serve):
    limits = AudioLimits(long_replies=threading.BoundedSemaphore(1))
    client = serve(limits=limits)
    for _ in range(3):
        reply = client.head("/download")
        assert (reply.status_code, reply.data, reply.headers["Content-Length"]) == (200, b"", str(SIZE))


def test_any_cut_range_asked_on_gives_the_whole(serve):
    client, received = serve(), b""
    while len(received) < SIZE:
        reply = client.get("/play", headers={"Range": f"bytes={len(received)}-"})
        assert len(reply.data) <= MOST_BYTES
        received += reply.data
    assert received == content()


def test_random_ranges_are_right_to_the_byte(serve):
    client, chance = serve(), random.Random(1)
    for _ in range(100):
        start, last = sorted(chance.randrange(SIZE) for _ in range(2))
        reply = client.get("/download", headers={"Range": f"bytes={start}-{last}"})
        assert reply.data == content()[start : last + 1]


# --- Long replies -----------------------------------------------------------------------------------------------------


def test_few_long_replies_run_at_once_and_the_next_one_is_told_when_to_come(serve):
    client = serve(limits=AudioLimits(long_replies=threading.BoundedSemaphore(2)))
    with ExitStack() as open_replies:
        for path in ("/play", "/download"):
            reply = open_replies.enter_context(client.get(path, buffered=False))
            assert reply.status_code == 200
        refused = client.get("/download")
        assert (refused.status_code, refused.headers["Retry-After"]) == (503, "10")
        assert "Too many downloads" in refused.text
        assert client.get("/play", headers={"Range": "bytes=0-"}).status_code == 206, "players are never refused"
    for _ in range(5):
        assert client.get("/download").data == content()


def test_a_client_that_leaves_gives_its_place_back(serve):
    client = serve(limits=AudioLimits(long_replies=threading.BoundedSemaphore(1)))
    for _ in range(3):
        reply = client.get("/download", buffered=False)
        assert len(next(reply.iter_encoded())) > 0
        reply.close()


def test_a_short_recording_takes_no_place(serve, backend):
    limits = AudioLimits(long_replies=threading.BoundedSemaphore(1))
    limits.long_replies.acquire()
    reply = serve(copy_of(SMALL, key="small"), limits=limits).get("/download")
    assert (reply.status_code, reply.data) == (200, content(SMALL))


# --- Stores that give nothing -----------------------------------------------------------------------------------------


class Stranger:
    """A backend of which only reading is asked; what it does is the test's."""

    def __init__(self, get):
        self.get = get

    def head(self, key):
        return {"size": len(b"".join(self.get(key, 0, None)))}


def raising(error):
    def get(key, start=0, end=None):
        raise error
        yield

    return Stranger(get)


class NotThere(Exception):
    pass


NotThere.__name__ = "ObjectNotFound"
ASKS = [("GET", "/play", {"Range": "bytes=0-1"}), ("GET", "/play", {}), ("GET", "/download", {}), ("HEAD", "/play", {})]


@pytest.mark.parametrize(("method", "path", "headers"), ASKS)
@pytest.mark.parametrize("error", [ObjectNotFound("gone"), FileNotFoundError("gone"), NotThere("gone")])
def test_a_vanished_object_is_a_404_with_what_is_left_to_do(serve, method, path, headers, error):
    reply = serve(backend=raising(error)).open(path, method=method, headers=headers)
    assert reply.status_code == 404
    assert method == "HEAD" or "flask recordings verify --repair" in reply.text
    assert "Accept-Ranges" not in reply.headers


@pytest.mark.parametrize(("method", "path", "headers"), ASKS)
@pytest.mark.parametrize("error", [StorageUnavailable("secret-host is down"), ValueError(), OSError(5, "Input/output")])
def test_a_store_that_fails_is_said_without_its_own_words(serve, caplog, method, path, headers, error):
    reply = serve(backend=raising(error)).open(path, method=method, headers=headers)
    assert (reply.status_code, reply.headers["Retry-After"]) == (502, "30")
    assert method == "HEAD" or "flask doctor" in reply.text
    assert "secret-host" not in reply.text
    assert "A storage did not give audio" in caplog.text


@pytest.mark.parametrize(("method", "path", "headers"), ASKS)
def test_a_store_that_hangs_is_a_504_within_the_limit(serve, method, path, headers):
    answers = threading.Event()

    def get(key, start=0, end=None):
        answers.wait(30)
        yield content()

    limits = AudioLimits(TimeLimit(0.2), threading.BoundedSemaphore(1))
    client = serve(backend=Stranger(get), limits=limits)
    reply = client.open(path, method=method, headers=headers)
    assert (reply.status_code, reply.headers["Retry-After"]) == (504, "30")
    answers.set()
    assert limits.long_replies.acquire(blocking=False), "its place is free again"


def test_stores_that_hang_hold_no_more_threads_than_the_limit(serve):
    answers = threading.Event()

    def get(key, start=0, end=None):
        answers.wait(30)
        yield b""

    client = serve(backend=Stranger(get), limits=AudioLimits(TimeLimit(0.1, most=2)))
    for _ in range(5):
        assert client.get("/play", headers={"Range": "bytes=0-1"}).status_code == 504
    assert sum(thread.name == "limited-call" for thread in threading.enumerate()) <= 2
    answers.set()


@pytest.mark.parametrize("given", [b"", content()[: 2 * MIB], content() + b"x"], ids=["none", "fewer", "more"])
def test_a_store_that_gives_a_wrong_number_of_bytes_is_never_a_reply_that_looks_whole(serve, given):
    backend = Stranger(lambda key, start=0, end=None: iter([given[:MIB], given[MIB:]]))
    assert serve(backend=backend).get("/play", headers={"Range": "bytes=0-9"}).status_code == 502
    if given:
        reply = serve(backend=backend).get("/download", buffered=False)
        with pytest.raises(StorageUnavailable, match=r"It gave \d+ bytes"):  # the server breaks the connection off
            b"".join(reply.iter_encoded())
        reply.close()
    else:
        assert serve(backend=backend).get("/download").status_code == 502


def test_a_store_that_hangs_in_the_middle_breaks_the_reply_off_and_frees_its_place(serve, caplog):
    answers = threading.Event()

    def get(key, start=0, end=None):
        yield content()[:MIB]
        answers.wait(30)

    limits = AudioLimits(TimeLimit(0.2), threading.BoundedSemaphore(1))
    reply = serve(backend=Stranger(get), limits=limits).get("/download", buffered=False)
    assert reply.status_code == 200
    with pytest.raises(Exception, match="took longer"):
        b"".join(reply.iter_encoded())
    reply.close()
    answers.set()
    assert "broke off" in caplog.text
    assert limits.long_replies.acquire(blocking=False)


def test_empty_pieces_of_a_store_are_no_end(serve):
    pieces = [b"", content()[:MIB], b"", b"", content()[MIB:], b""]
    reply = serve(backend=Stranger(lambda key, start=0, end=None: iter(pieces))).get("/download")
    assert reply.data == content()


@pytest.mark.parametrize("changes", [{"state": State.WAITING}, {"key": None}, {"size": None}])
def test_a_copy_that_is_not_stored_has_no_audio(serve, backend, changes):
    reply = serve(replace(copy_of(), **changes)).get("/play")
    assert (reply.status_code, reply.text) == (404, "This copy is not stored yet.\n")
    assert backend.ranges == []


# --- A recording with several copies ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("first", "status"),
    [(raising(ObjectNotFound("gone")), 206), (raising(StorageUnavailable("down")), 206), (None, 206)],
    ids=["gone", "down", "not configured"],
)
def test_of_several_copies_the_first_that_its_store_gives_is_heard(backend, first, status):
    recording = recording_of(copy_of(storage="gs://first"), copy_of())
    storages = {"file:///tapes": backend} | ({"gs://first": first} if first else {})
    app = Flask("audio")
    app.add_url_rule("/", "audio", lambda: recording_response(recording, storages, request))
    reply = app.test_client().get("/", headers={"Range": "bytes=3-9"})
    assert (reply.status_code, reply.data) == (status, content()[3:10])


@pytest.mark.parametrize("copies", [(), (copy_of(state=State.FAILED),), (copy_of(storage="gs://former"),)])
def test_a_recording_without_a_copy_that_can_be_heard_is_a_404(backend, copies):
    app, recording = Flask("audio"), recording_of(*copies)
    app.add_url_rule("/", "audio", lambda: recording_response(recording, {"file:///tapes": backend}, request))
    reply = app.test_client().get("/")
    assert (reply.status_code, "no stored copy" in reply.text) == (404, True)


# --- Names and peaks --------------------------------------------------------------------------------------------------


def test_a_download_has_a_name_that_says_what_is_in_it():
    recording = recording_of(from_="447700900001", to="447700900000")
    assert download_name(recording, copy_of()) == "2026-11-22_120000Z_from-447700900001_to-447700900000_aaaaaaaa.mp3"
    assert download_name(recording_of(), copy_of(content_type="audio/ogg")) == "2026-11-22_120000Z_aaaaaaaa.ogg"
    assert download_name(recording_of(start_time=None), copy_of(content_type="text/html")).endswith("_aaaaaaaa.bin")


def test_nobody_writes_headers_or_paths_by_a_number_or_an_id():
    name = download_name(recording_of(from_='../"é\r\nSet-Cookie: a', recording_uuid="../../x"), copy_of())
    assert re.fullmatch(r"[A-Za-z0-9_+.-]+", name)
    assert not name.startswith(".")


def test_a_download_is_saved_under_its_name(serve):
    assert serve().head("/download").headers["Content-Disposition"] == 'attachment; filename="a b.mp3"'


def test_a_page_gets_an_array_for_each_channel():
    assert peaks_json(Waveform(1.23456, 2, 8000, 3, bytes([0, 64, 127, 1, 2, 3]))) == {
        "duration": 1.235,
        "channels": 2,
        "sample_rate": 8000,
        "peaks": [[0.0, 0.5, 1.0], [0.01, 0.02, 0.02]],
    }
