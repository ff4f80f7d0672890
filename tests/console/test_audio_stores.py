"""Long replies are few, and whatever a store does, no reply looks whole that is not, and no thread is held."""

from __future__ import annotations

import threading
from contextlib import ExitStack
from dataclasses import replace

import pytest

from console.bodies import AudioLimits
from recordings.errors import ObjectNotFound, StorageUnavailable
from recordings.model import State
from recordings.timeouts import TimeLimit
from tests.console.audio_samples import (
    MIB,
    SMALL,
    Stranger,
    content,
    copy_of,
    raising,
)

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
