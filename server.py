"""gunicorn's worker: a thread is given a request only when the whole request has arrived.

gunicorn's own worker reads in a thread and waits there for as long as a client likes to take: as many half-sent
requests as it has threads stop it. Here the event loop collects the bytes, and closes a connection that has not
sent a whole request within `READ_SECONDS`. No thread ever reads from a connection. Each kind of request has threads of
its own, so that a caller's answer never waits for what events or pages wait for.

What a request means is decided by gunicorn's parser and by the application. No settings, no Flask and no room here:
the arbiter loads this file before it forks. https://gunicorn.org/design/
"""

from __future__ import annotations

import contextlib
import errno
import re
import resource
import select
import selectors
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from gunicorn.http import get_parser
from gunicorn.workers.gthread import ThreadWorker

from lanes import Lanes, lane_of

ACCEPTED = "tapekeeper.accepted"  # in the WSGI environ: `time.monotonic()` when the request began to arrive

READ_SECONDS = 8.0  # for a whole request; Vonage waits 5 s for an answer and 10 s for an event
WRITE_SECONDS = 30.0  # for each piece of a reply
LINGER_SECONDS = 2.0  # for a client to read the last reply before its connection is closed
STOP_SECONDS = 2.0  # for requests that are arriving when the process is told to stop
MAX_BODY = 1024 * 1024  # bytes; the application answers 413 to a larger body without reading it
MAX_CHUNKS = 8192
MAX_BUFFERED = 64 * 1024 * 1024  # bytes, of all requests together: then only small ones are still read
SMALL = 64 * 1024  # bytes
PAGE_BUFFER = 256 * 1024  # bytes that the kernel takes of a page at once: no thread waits for whoever reads it

_RECEIVED_AT_ONCE = 64 * 1024
_LOOKS_SECONDS = 0.5  # between two searches for connections whose time is over
_FILES = 4096
_SO_MEMINFO = 55  # Linux; Python has no name for it

_BARE_LF = re.compile(rb"(?<!\r)\n")
_FRAMING_FIELDS = re.compile(rb"\r\n(content-length|transfer-encoding|expect)[ \t]*:[ \t]*([^\r\n]*)", re.IGNORECASE)
_CHUNK_SIZE = re.compile(rb"[0-9A-Fa-f]+")


class Framing:
    """Finds out whether a request has come completely. A malformed one counts as complete: the parser refuses it.

    `whole` tells whether the request ends within the bytes; a connection that had more to send cannot be used again.
    """

    def __init__(self, max_line: int, max_head: int) -> None:
        self._max_line = max_line or MAX_BODY  # gunicorn's 0 is no limit
        self._max_head = max_head
        self._next: Callable[[bytearray], bool] = self._head
        self._at = 0  # all bytes before this index have been examined
        self._chunks = 0
        self._decoded = 0
        self.head = b""
        self.whole = False
        self.expects_continue = False

    def complete(self, data: bytearray) -> bool:
        """Whether nothing more is to be waited for; `data` is everything that came so far."""
        return self._next(data)

    def _head(self, data: bytearray) -> bool:
        end = data.find(b"\r\n\r\n", max(0, self._at - 3))
        if end < 0:
            bare = _BARE_LF.search(data, max(0, self._at - 1)) is not None
            self._at = len(data)
            long_line = self._at > self._max_line + 4 and data.find(b"\r\n", 2, self._max_line + 4) < 0
            return bare or long_line or self._at > self._max_head
        self.head, self._at = bytes(data[:end]), end + 4
        fields = [(name.lower(), value.strip().lower()) for name, value in _FRAMING_FIELDS.findall(self.head)]
        if any(name == b"transfer-encoding" and b"chunked" in value for name, value in fields):
            self._next = self._chunk
        else:
            lengths = [value for name, value in fields if name == b"content-length"]
            length = _length(lengths[0]) if lengths else 0
            if length is None or length > MAX_BODY:
                return True  # not whole: what follows this head is no request
            self._at += length
            self._next = self._body
        complete = self._next(data)
        first_line = self.head.lstrip(b"\r\n").partition(b"\r\n")[0]
        expected = first_line.endswith(b"HTTP/1.1") and (b"expect", b"100-continue") in fields
        self.expects_continue = expected and not complete
        return complete

    def _body(self, data: bytearray) -> bool:
        self.whole = len(data) >= self._at
        return self.whole

    def _chunk(self, data: bytearray) -> bool:
        while (end := data.find(b"\r\n", self._at)) >= 0:
            size = _CHUNK_SIZE.match(data, self._at)
            self._chunks += 1
            if size is None or self._chunks > MAX_CHUNKS:
                return True
            if int(size[0], 16) == 0:
                self._at = end
                self._next = self._trailers
                return self._trailers(data)
            after = end + 2 + int(size[0], 16) + 2
            if self._decoded + min(after, len(data)) - end > MAX_BODY + 4:
                return True  # more than the application reads is there
            if after > len(data):
                return False
            self._decoded += after - end - 4
            self._at = after
        return len(data) - self._at > self._max_line

    def _trailers(self, data: bytearray) -> bool:
        self.whole = data.find(b"\r\n\r\n", self._at) >= 0
        return self.whole or len(data) - self._at > self._max_line


def _length(digits: bytes) -> int | None:
    """The number of bytes that a Content-Length tells, also with zeros before it; None: it tells none, or too many."""
    significant = digits.lstrip(b"0") or b"0"
    return int(significant) if digits.isdigit() and len(significant) < 20 else None


@dataclass(eq=False, slots=True)
class _Arriving:
    """A request that is arriving, or the end of a connection (`framing` is None): what still comes is thrown away."""

    deadline: float
    framing: Framing | None = None
    data: bytearray = field(default_factory=bytearray)
    watched: bool = False  # by the poller


class Worker(ThreadWorker):  # type: ignore[misc]  # gunicorn has no types
    """gunicorn's threaded worker, which reads whole requests in its event loop.

    With TLS, HTTP/2, the PROXY protocol or uwsgi's protocol in gunicorn itself, it reads as gunicorn's own worker does:
    then a proxy in front has to keep slow clients away.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        cfg = self.cfg
        cfg.set("sendfile", False)  # Python's `sendfile` waits without end for a client that does not read
        self.max_keepalived = self.worker_connections // 2
        self._buffers = cfg.protocol == "http" and cfg.proxy_protocol == "off" and not cfg.is_ssl
        self._buffers = self._buffers and "h2" not in cfg.http_protocols
        max_head = cfg.limit_request_line + cfg.limit_request_fields * (cfg.limit_request_field_size + 2) + 4
        self._new_framing = partial(Framing, cfg.limit_request_line, max_head)
        self._arriving: dict[Any, _Arriving] = {}  # by connection, the oldest first
        self._buffered = 0
        self._next_look = 0.0
        self._request = threading.local()
        self.stop_beside: Callable[[], object] | None = None  # ends what works beside the requests, in its own thread

    # --- gunicorn's hooks ---------------------------------------------------------------------------------------------

    def init_process(self) -> None:
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        if 0 <= soft < _FILES:  # each connection is an open file
            resource.setrlimit(resource.RLIMIT_NOFILE, (_FILES if hard < 0 else min(_FILES, hard), hard))
        if not self._buffers:
            self.log.warning("Slow clients can hold threads: put a proxy in front that reads whole requests.")
        super().init_process()

    def get_thread_pool(self) -> Any:
        return Lanes(self.cfg.threads) if self._buffers else super().get_thread_pool()

    def load_wsgi(self) -> None:
        super().load_wsgi()
        app: Callable[..., Iterable[bytes]] = self.wsgi
        self.wsgi: Any = partial(self._with_time, app)

    def accept(self, listener: socket.socket) -> None:
        try:
            super().accept(listener)
        except OSError as error:
            if error.errno not in (errno.EMFILE, errno.ENFILE):
                raise
            self._make_room()

    def enqueue_req(self, conn: Any) -> None:
        """A connection is new, or its next request begins to arrive: a thread gets it when the request is whole."""
        if not self._buffers:
            super().enqueue_req(conn)
            return
        if self.nr_conns >= self.worker_connections - 1:
            self._make_room()
        if not conn.initialized:
            conn.initialized = True
            # The kernel ends a write after this time. With a time-out of Python's own each write would let other
            # threads run first, twice. https://man7.org/linux/man-pages/man7/socket.7.html
            conn.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", int(WRITE_SECONDS), 0))
            conn.parser = get_parser(self.cfg, (), conn.client)  # it gets bytes from us, and never reads the socket
        conn.accepted = time.monotonic()
        if conn.sock.gettimeout() != 0:  # so it is when the next request came together with the last one
            conn.sock.setblocking(False)
        framing, data = self._new_framing(), bytearray(conn.parser.unreader.take_buffered())
        self._arriving[conn] = arriving = _Arriving(conn.accepted + READ_SECONDS, framing, data)
        self._buffered += len(data)
        if data:
            self._look(conn, arriving, framing)
        if conn in self._arriving:
            self._readable(conn, conn.sock)  # most requests are there as a whole, and the poller need not know of them
        if conn in self._arriving:
            self._watch(conn, arriving)

    def handle_request(self, req: Any, conn: Any) -> Any:
        if not self._buffers:
            return super().handle_request(req, conn)
        self._request.accepted = conn.accepted
        req._expected_100_continue = False  # it was sent while the request arrived
        if not conn.whole:
            req.force_close()
        if conn.lane == "pages":
            conn.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, PAGE_BUFFER)
        try:
            return super().handle_request(req, conn)
        except BlockingIOError:
            raise BrokenPipeError(errno.EPIPE, "The client does not read the reply.") from None

    def finish_request(self, conn: Any, fs: Future[Any]) -> None:
        """A thread is done with the connection: keep it for the next request, or close it without waiting for it."""
        if self._buffers:
            self._buffered -= conn.size
        if self._buffers and (fs.cancelled() or fs.exception() is not None or not fs.result()):
            self._linger(conn)
        else:
            super().finish_request(conn, fs)

    def murder_pending(self) -> None:
        """Close the connections whose time is over. The loop calls this at each turn."""
        super().murder_pending()
        if not self.alive and self.stop_beside is not None:
            with contextlib.suppress(RuntimeError):  # no thread to be had: then it ends after the requests
                threading.Thread(target=self.stop_beside, name="tapekeeper-stop", daemon=True).start()
            self.stop_beside = None
        now = time.monotonic()
        if now < self._next_look:
            return
        self._next_look = now + _LOOKS_SECONDS
        if not self.alive:  # half a request must not take the time that the copies in work have
            for arriving in self._arriving.values():
                arriving.deadline = min(arriving.deadline, now + STOP_SECONDS)
        for conn in [conn for conn, arriving in self._arriving.items() if arriving.deadline <= now]:
            self._drop(conn)

    # --- Reading ------------------------------------------------------------------------------------------------------

    def _readable(self, conn: Any, sock: socket.socket) -> None:
        """Read what has come.

        An error would end the whole process, so it is caught, and closes only this connection.
        """
        try:
            self._receive(conn, sock)
        except Exception:
            self.log.exception("A connection could not be read; it is closed, and the others are served.")
            self._drop(conn)

    def _receive(self, conn: Any, sock: socket.socket) -> None:
        arriving = self._arriving.get(conn)
        if arriving is None:  # another connection's turn, in the same round of the loop, has closed this one
            return
        try:
            data = sock.recv(_RECEIVED_AT_ONCE)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            data = b""
        if not data:
            self._drop(conn)
        elif arriving.framing is not None:
            arriving.data += data
            self._buffered += len(data)
            self._look(conn, arriving, arriving.framing)

    def _look(self, conn: Any, arriving: _Arriving, framing: Framing) -> None:
        """Give the request to a thread if it is complete; ask for its body if the client waits for that."""
        if framing.complete(arriving.data):
            conn.size, conn.whole, conn.lane = len(arriving.data), framing.whole, lane_of(framing.head)
            if conn.parser.req_count and not _takes_more(conn.sock):
                self._drop(conn)
                return
            self._forget(conn)
            self._buffered += conn.size
            conn.parser.unreader.unread(bytes(arriving.data))
            super().enqueue_req(conn)
        elif framing.expects_continue:
            framing.expects_continue = False
            with contextlib.suppress(OSError):
                conn.sock.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        if self._buffered > MAX_BUFFERED and len(arriving.data) > SMALL and conn in self._arriving:
            self._drop(conn)

    def _linger(self, conn: Any) -> None:
        """Say that nothing more comes, and close when the client has read it. Nobody waits for that.

        https://www.rfc-editor.org/rfc/rfc9112#section-9.6
        """
        lingering = _Arriving(time.monotonic() + LINGER_SECONDS)
        try:
            conn.sock.setblocking(False)
            conn.sock.shutdown(socket.SHUT_WR)
            self._watch(conn, lingering)
        except (OSError, ValueError):  # it is closed already
            self.nr_conns -= 1
            conn.close()
            return
        self._arriving[conn] = lingering

    def _make_room(self) -> None:
        """Close the connection that has waited longest for its client.

        Whole requests are with a thread, so they stay.
        """
        if self._arriving:
            self._drop(next(iter(self._arriving)))
        elif self.keepalived_conns:
            self.keepalived_conns[0].timeout = 0.0  # closed at the end of this turn of the loop

    def _watch(self, conn: Any, arriving: _Arriving) -> None:
        """Let the loop tell when more has come."""
        self.poller.register(conn.sock, selectors.EVENT_READ, partial(self._readable, conn))
        arriving.watched = True

    def _forget(self, conn: Any) -> None:
        arriving = self._arriving.pop(conn)
        self._buffered -= len(arriving.data)
        if arriving.watched:
            with contextlib.suppress(OSError, KeyError, ValueError):
                self.poller.unregister(conn.sock)

    def _drop(self, conn: Any) -> None:
        if conn not in self._arriving:
            return
        self._forget(conn)
        self.nr_conns -= 1
        conn.close()

    def _with_time(self, app: Callable[..., Iterable[bytes]], environ: dict[str, Any], start: Any) -> Iterable[bytes]:
        accepted = getattr(self._request, "accepted", None)
        if accepted is not None:
            environ[ACCEPTED] = accepted
        return app(environ, start)


def _takes_more(sock: socket.socket) -> bool:
    """Whether a small reply can be written without waiting.

    A client that sends request after request and reads no reply would else hold a thread for `WRITE_SECONDS`. The
    socket's own figures tell it where the system has them: `poll` lets another thread run, and then the loop waits for
    its turn. https://man7.org/linux/man-pages/man7/sock_diag.7.html (SK_MEMINFO_WMEM_QUEUED)
    """
    try:
        memory = struct.unpack("9I", sock.getsockopt(socket.SOL_SOCKET, _SO_MEMINFO, 36))
    except (OSError, struct.error):
        poll = select.poll()
        poll.register(sock, select.POLLOUT)
        return bool(poll.poll(0))
    room, queued = memory[3] - memory[5], memory[5]
    return bool(room >= queued // 2)  # as the kernel's own poll judges
