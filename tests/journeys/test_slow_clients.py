"""Clients that send half a request switch nothing off: answers and events go on, and afterwards nothing is refused."""

from __future__ import annotations

import contextlib
import json
import socket
import time
from urllib.parse import urlsplit

import pytest
import requests

from tests.chaos.slow_clients import HALVES, feel, slow_clients

SECONDS = 2.0


@pytest.fixture(scope="module")
def running(deploy, tmp_path_factory):
    unsigned = {"ALLOW_UNSIGNED_WEBHOOKS": "true", "VONAGE_SIGNATURE_SECRET": ""}
    gunicorn, _ = deploy(**unsigned, CONSOLE_PASSWORD="correct horse battery staple")
    return gunicorn.start()


@pytest.fixture(scope="module")
def sends(running):
    """A function that asks for an answer, and one that delivers an event; both give the status."""

    def answer():
        return requests.get(f"{running.url}/webhooks/answer?conversation_uuid=CON-1&uuid=u-1", timeout=15).status_code

    def event():
        body = {"status": "ringing", "uuid": "u-1", "conversation_uuid": "CON-1"}
        return requests.post(f"{running.url}/webhooks/events", json=body, timeout=15).status_code

    return answer, event


@pytest.fixture
def connect(running):
    """`connect(data)`: a connection that has sent these bytes."""
    made = []

    def make(data):
        parts = urlsplit(running.url)
        made.append(socket.create_connection((parts.hostname, parts.port), timeout=20))
        made[-1].sendall(data)
        return made[-1]

    yield make
    for client in made:
        client.close()


@pytest.mark.parametrize("count", [40, 200])
@pytest.mark.parametrize("kind", HALVES)
def test_answers_and_events_go_on_beside_slow_clients(running, sends, count, kind):
    with slow_clients(running.url, count, kind):
        felt = feel(*sends, SECONDS)
    assert set(felt.statuses) == {"answer 200", "event 204"}, felt
    assert felt.answers_p99 < 1, felt
    assert max(felt.events) < 10, felt
    assert [send() for send in sends] == [200, 204]


def test_half_a_request_is_cut_after_eight_seconds(connect):
    clients, begun = (
        [connect(HALVES[kind]) for kind in ("head", "body", "chunk", "garbage", "nothing")],
        time.monotonic(),
    )
    for client in clients:
        assert client.recv(100) == b""
        assert 7 < time.monotonic() - begun < 10


def test_a_client_that_drips_is_cut_too(connect):
    client, begun = connect(b"POST /webhooks/events HTTP/1.1\r\nX-a: "), time.monotonic()
    client.settimeout(0.25)
    while not ended(client) and time.monotonic() - begun < 15:
        with contextlib.suppress(OSError):
            client.sendall(b"a")
    assert 7 < time.monotonic() - begun < 10


def test_a_client_that_reads_no_reply_holds_no_thread(running, sends):
    """It sends one request after the other, until the replies fill what the system buffers."""
    clients = [unread(urlsplit(running.url)) for _ in range(20)]
    try:
        felt = feel(*sends, 4 * SECONDS)
        assert set(felt.statuses) == {"answer 200", "event 204"}, felt
        assert felt.answers_p99 < 1, felt
    finally:
        for client in clients:
            client.close()


def unread(address):
    """A connection with small buffers on both ends, over which a thousand requests were sent."""
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2304)
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, 536)
    client.connect((address.hostname, address.port))
    client.settimeout(2)
    with contextlib.suppress(OSError):  # the server has cut it already
        client.sendall(b"GET /webhooks/answer HTTP/1.1\r\nHost: x\r\n\r\n" * 1000)
    return client


def ended(client):
    """Whether the server has closed the connection; waits a moment for it."""
    try:
        return client.recv(100) == b""
    except TimeoutError:
        return False
    except OSError:
        return True


def test_a_connection_is_kept_for_further_requests_in_pieces_and_in_a_row(connect):
    client = connect(b"GET /healthz HTTP/1.1\r\nHo")
    client.sendall(b"st: x\r\n\r\n" + b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n" * 3)
    seen = b""
    while seen.count(b'{"status":"ok"}') < 4:
        seen += client.recv(4096)
    assert seen.count(b"HTTP/1.1 200") == 4


def test_a_client_may_wait_for_100_continue(connect):
    body = json.dumps({"status": "ringing", "uuid": "u", "conversation_uuid": "CON-1"}).encode()
    head = f"POST /webhooks/events HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: {len(body)}\r\n\r\n"
    client = connect(head.encode())
    assert client.recv(4096) == b"HTTP/1.1 100 Continue\r\n\r\n"
    client.sendall(body)
    assert client.recv(4096).startswith(b"HTTP/1.1 204")


@pytest.mark.parametrize(
    "rest",
    [b"Content-Length: 5000000\r\n\r\n" + b"x" * 100, b"Transfer-Encoding: chunked\r\n\r\n200000\r\n" + b"x" * 2**21],
)
def test_a_body_over_1_mib_is_413_and_the_connection_ends(connect, rest):
    client = connect(b"POST /webhooks/events HTTP/1.1\r\nHost: x\r\n" + rest)
    seen = b""
    while data := client.recv(65536):
        seen += data
    assert seen.startswith(b"HTTP/1.1 413")
    assert b"Connection: close" in seen


def test_a_long_url_of_vonages_is_answered(running):
    custom = json.dumps({"n": "x" * 4500})
    reply = requests.get(f"{running.url}/webhooks/answer", params={"uuid": "u", "custom_data": custom}, timeout=15)
    assert (reply.status_code, reply.json()[-1]["action"]) == (200, "talk")


@pytest.mark.parametrize("path", ["//webhooks/events", "///webhooks//events", "/webhooks//events//"])
def test_slashes_too_many_lose_no_event(connect, path):
    body = b'{"status": "ringing", "uuid": "u", "conversation_uuid": "CON-1"}'
    client = connect(f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)
    assert client.recv(4096).startswith(b"HTTP/1.1 204")


@pytest.mark.parametrize("prefix", ["/healthz", "/elsewhere", "//evil.example"])
def test_no_header_of_a_clients_moves_the_app_to_another_path(connect, prefix):
    """gunicorn reads this header from whom it trusts: loopback, and everybody where a buildpack says so."""
    client = connect(f"GET /healthz HTTP/1.1\r\nHost: x\r\nSCRIPT_NAME: {prefix}\r\n\r\n".encode())
    assert client.recv(4096).startswith(b"HTTP/1.1 200")


def test_the_worker_is_ours_and_no_fault_stands_in_its_log(running):
    log = running.log.read_text()
    assert "Using worker: server.Worker" in log
    assert "Traceback" not in log


STYLESHEET = "/static/vendor/pico.min.css"  # 83 KB, for whoever asks
PAGES_THREADS = 9


@pytest.fixture
def read_nothing(running):
    """`read_nothing(count, path)`: so many connections that ask for this and read no byte of the reply."""
    made = []

    def make(count, path):
        parts = urlsplit(running.url)
        for _ in range(count):
            client = socket.socket()
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)  # the kernel takes its least
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, 536)  # as over a network: not 64 KiB
            client.connect((parts.hostname, parts.port))
            client.sendall(b"GET %s HTTP/1.1\r\nHost: x\r\n\r\n" % path.encode())
            made.append(client)

    yield make
    for client in made:
        client.close()


def test_clients_that_read_nothing_hold_up_no_page(running, read_nothing):
    """With a thread each, until their replies are given up, the next page would have to wait for half a minute."""
    read_nothing(3 * PAGES_THREADS, STYLESHEET)
    reply = requests.get(f"{running.url}{STYLESHEET}", timeout=15)
    assert (reply.status_code, len(reply.content)) == (200, 83319)
