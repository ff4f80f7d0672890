"""When a request is whole, and whose threads take it: gunicorn's own parser is the measure."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest
from gunicorn.config import Config
from gunicorn.http import get_parser
from gunicorn.workers.gthread import TConn, ThreadWorker
from hypothesis import given
from hypothesis import strategies as st

import lanes
import server
from webhooks.authentication import MAX_BODY
from webhooks.events import ACCEPTED

ROOT = Path(__file__).resolve().parent.parent
CONF = runpy.run_path(str(ROOT / "gunicorn.conf.py"))
HOST = b"Host: x\r\n"
LANES = ("answers", "events", "monitors", "metrics", "audio", "pages")

WHOLE = {
    "no body": b"GET /healthz HTTP/1.1\r\n" + HOST + b"\r\n",
    "no field": b"GET / HTTP/1.0\r\n\r\n",
    "an empty line before": b"\r\nGET / HTTP/1.1\r\n" + HOST + b"\r\n",
    "an empty body": b"POST / HTTP/1.1\r\nContent-Length: 0\r\n\r\n",
    "a body": b"POST / HTTP/1.1\r\ncontent-LENGTH :5\r\n\r\nab\r\nc".replace(b" :", b": "),
    "a body with a head in it": b"POST / HTTP/1.1\r\nContent-Length: 12\r\n\r\nGET /\r\n\r\nabc",
    "chunks": b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\n\r\n\r\n0\r\n\r\n",
    "a length with zeros before it": b"POST / HTTP/1.1\r\nContent-Length: " + b"0" * 30 + b"3\r\n\r\nabc",
    "a chunk's size with zeros before it": (
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n" + b"0" * 30 + b"5\r\na\r\n\r\n\r\n0\r\n\r\n"
    ),
    "trailers": b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nX-a: b\r\n\r\n",
    "expect": b"POST / HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\nabc",
}
REFUSED_AT_ONCE = {
    "a bare line feed": b"GET / HTTP/1.1\n",
    "a line that is too long": b"GET /" + b"x" * 8300,
    "a head that is too long": b"GET / HTTP/1.1\r\n" + b"X-a: " + b"x" * 2_000_000,
    "a chunk of no size": b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
    "a chunk line without end": b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1" * 9000,
    "many small chunks": b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1\r\na\r\n" * 9000,
    "a large body": b"POST / HTTP/1.1\r\nContent-Length: 1048577\r\n\r\n",
    "a length that is no number": b"POST / HTTP/1.1\r\nContent-Length: +5\r\n\r\n",
    "a length of very many digits": b"POST / HTTP/1.1\r\nContent-Length: " + b"9" * 5000 + b"\r\n\r\n",
    "a large chunked body": b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n110000\r\n" + b"a" * 1_048_700,
}
HALVES = {
    "nothing": b"",
    "half a head": b"POST / HTTP/1.1\r\nHost: x\r\nX-a: ",
    "garbage": b"\x16\x03\x01",
    "half a body": b"POST / HTTP/1.1\r\nContent-Length: 1000\r\n\r\n{",
    "half a chunk": b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
    "no last chunk": b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n",
    "half the trailers": b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX-a: b\r\n",
}


def config(**changes):
    made = Config()
    for name, value in ({"limit_request_line": 8190, "limit_request_field_size": 16380} | changes).items():
        made.set(name, value)
    return made


def framing():
    return server.Framing(8190, 8190 + 100 * 16382 + 4)


def fed(data, *cuts):
    """The framing after these bytes, given in pieces; how many bytes it had seen when it was complete, or None."""
    seen, judge = bytearray(), framing()
    for start, end in zip((0, *cuts), (*cuts, len(data)), strict=True):
        seen += data[start:end]
        if judge.complete(seen):
            return judge, len(seen)
    return judge, None


def parsed(data):
    """What gunicorn's parser makes of these bytes, as our worker gives them to it; and what is left over."""
    parser = get_parser(config(), (), ("127.0.0.1", 1))
    parser.unreader.unread(data)
    request = next(parser)
    return request.body.read(), parser.unreader.take_buffered()


@pytest.mark.parametrize("name", WHOLE)
@given(cuts=st.lists(st.integers(1, 60), max_size=5, unique=True))
def test_a_request_is_whole_with_its_last_byte_however_it_comes(name, cuts):
    data = WHOLE[name]
    judge, complete_at = fed(data, *sorted(cut for cut in cuts if cut < len(data)))
    assert (judge.whole, complete_at) == (True, len(data))
    assert parsed(data)[1] == b""
    for end in range(len(data)):
        assert fed(data[:end])[1] is None


@pytest.mark.parametrize("name", WHOLE)
def test_what_comes_after_a_request_is_left_for_the_next(name):
    next_one = b"GET /next HTTP/1.1\r\n\r\n"
    assert fed(WHOLE[name] + next_one)[0].whole
    assert parsed(WHOLE[name] + next_one)[1] == next_one


@pytest.mark.parametrize("name", REFUSED_AT_ONCE)
def test_what_can_never_be_good_is_not_waited_for(name):
    judge, complete_at = fed(REFUSED_AT_ONCE[name])
    assert complete_at is not None
    assert not judge.whole


@pytest.mark.parametrize("name", HALVES)
def test_half_a_request_is_waited_for(name):
    assert fed(HALVES[name])[1] is None


@given(data=st.binary(max_size=300))
def test_no_bytes_are_a_fault_of_ours(data):
    judge, _ = fed(b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n" + data)
    judge, _ = fed(data)
    assert lanes.lane_of(judge.head) in LANES


@pytest.mark.parametrize(
    ("line", "expected"),
    [(b"POST / HTTP/1.1", True), (b"POST / HTTP/1.0", False)],
)
def test_a_client_that_waits_for_its_turn_to_send_the_body_is_asked_for_it(line, expected):
    head = line + b"\r\nExpect: 100-Continue\r\nContent-Length: 3\r\n\r\n"
    assert fed(head)[0].expects_continue is expected
    assert not fed(head + b"abc")[0].expects_continue


@pytest.mark.parametrize(
    ("target", "lane"),
    [
        ("/webhooks/answer", "answers"),
        ("/webhooks/answer/call?name=x", "answers"),
        ("//webhooks///answer/", "answers"),
        ("/webhooks/fallback", "answers"),
        ("/webhooks%2Fanswer", "answers"),
        ("http://calls.example/webhooks/answer", "answers"),
        ("/webhooks/events", "events"),
        ("/webhooks/recordings?flow=answer", "events"),
        ("/webhooks/answers", "events"),
        ("/webhooks", "events"),
        ("/healthz", "monitors"),
        ("/readyz", "monitors"),
        ("/metrics", "metrics"),
        ("/", "pages"),
        ("/recordings/webhooks/answer", "pages"),
        ("/recordings/7/audio", "audio"),
        ("/recordings/7/download/?x=/", "audio"),
        ("/api/recordings/7/audio", "audio"),
        ("/api/recordings/export.csv", "audio"),
        ("/api/recordings", "pages"),
        ("/recordings/audio/7", "pages"),
        ("/webhooks/answer/audio", "answers"),
        ("*", "pages"),
    ],
)
def test_whose_threads_take_a_request(target, lane):
    assert lanes.lane_of(f"POST {target} HTTP/1.1\r\nHost: x".encode()) == lane


@pytest.mark.parametrize("threads", [1, 4, 16, 48])
def test_no_lane_is_without_a_thread(threads):
    threads_of = lanes.Lanes(threads)
    try:
        for lane in LANES:
            conn = type("Conn", (), {"lane": lane})()
            assert threads_of.submit(lambda its: its.lane, conn).result(10) == lane
    finally:
        threads_of.shutdown()


def test_the_rooms_use_the_same_bounds_and_names():
    assert (server.MAX_BODY, server.ACCEPTED) == (MAX_BODY, ACCEPTED)


def test_the_worker_fits_the_gunicorn_that_is_installed():
    """What we override or use of gunicorn is there: its next version may rename it."""
    overridden = set(vars(server.Worker)) & set(dir(ThreadWorker)) - set(dir(object))
    assert overridden >= {
        *("init_process", "get_thread_pool", "load_wsgi", "accept", "enqueue_req", "handle_request"),
        *("finish_request", "murder_pending"),
    }
    assert {"on_client_socket_readable", "murder_keepalived", "handle"} <= set(dir(ThreadWorker))
    assert {"init", "close", "set_timeout"} <= set(dir(TConn))
    assert Config().settings.keys() >= {
        "limit_request_line",
        "limit_request_fields",
        "proxy_protocol",
        "http_protocols",
    }
    assert CONF["worker_class"] == "server.Worker"
    assert CONF["limit_request_line"] == 8190
