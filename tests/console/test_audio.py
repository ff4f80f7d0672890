"""Audio through us: ranges to the byte, names for downloads, peaks for pages, and the next copy where one fails."""

from __future__ import annotations

import random
import re
import threading

import pytest
from flask import Flask, request

from console.audio import download_name, peaks_json, recording_response
from console.bodies import MOST_BYTES, AudioLimits
from recordings.errors import ObjectNotFound, StorageUnavailable
from recordings.model import State, Waveform
from tests.console.audio_samples import (
    ETAG,
    MIB,
    SIZE,
    content,
    copy_of,
    raising,
    recording_of,
)

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
