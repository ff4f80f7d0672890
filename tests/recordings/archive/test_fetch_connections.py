"""What becomes of a connection to Vonage after a transfer."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import requests

from recordings.archive.fetch import Fetcher
from recordings.archive.hosts import HostRule
from recordings.errors import SourceMissing


def read_all(audio):
    return b"".join(iter(lambda: audio.read(1 << 16), b""))


class KeepAlive(BaseHTTPRequestHandler):
    """Serves the same audio again and again, over connections that stay; `seen` are their client ports."""

    protocol_version = "HTTP/1.1"
    body = b"\xff\xfb" + bytes(300_000)
    seen: list = []  # noqa: RUF012 - one for the class on purpose

    def do_GET(self):
        self.seen.append(self.client_address[1])
        status = 200 if self.path == "/audio" else 404
        self.send_response(status)
        self.send_header("Content-Length", str(len(self.body)))
        self.send_header("Content-Type", "audio/mpeg")
        self.end_headers()
        self.wfile.write(self.body)

    def log_message(self, *words):
        pass


@pytest.fixture
def keep_alive(token):
    KeepAlive.seen = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), KeepAlive)
    server.daemon_threads = True
    server.handle_error = lambda *_: None  # a client that hangs up is what some of these tests are about
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    origin = f"http://127.0.0.1:{server.server_port}"
    with requests.Session() as session:
        yield origin, Fetcher(HostRule.parse([origin]), token.mint, session=session)
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_connection_that_was_read_to_its_end_is_used_again(keep_alive):
    origin, fetcher = keep_alive
    for _ in range(5):
        with fetcher.open(f"{origin}/audio") as audio:
            read_all(audio)
    assert len(KeepAlive.seen) == 5
    assert len(set(KeepAlive.seen)) == 1


def test_a_connection_that_gave_just_what_it_promised_is_used_again(keep_alive):
    origin, fetcher = keep_alive
    for _ in range(3):
        with fetcher.open(f"{origin}/audio") as audio:
            assert audio.read(audio.size) == KeepAlive.body
            assert audio.complete
    assert len(set(KeepAlive.seen)) == 1


def test_a_connection_that_was_not_is_cut(keep_alive):
    origin, fetcher = keep_alive
    for _ in range(3):
        with fetcher.open(f"{origin}/audio") as audio:
            assert audio.read(1000) == KeepAlive.body[:1000]
    with pytest.raises(SourceMissing):
        fetcher.open(f"{origin}/elsewhere")
    with fetcher.open(f"{origin}/audio") as audio:
        assert read_all(audio) == KeepAlive.body
    assert len(set(KeepAlive.seen)) == 5
