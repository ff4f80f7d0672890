"""An HTTP proxy that stands before a real server and lets planned requests fail; see `tests.fakes.faults`.

For Azurite, which cannot misbehave by itself. Answers of its own look like Azure's.
"""

from __future__ import annotations

import http.client
import socket
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

from tests.fakes.faults import Fault, Faults

HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding"}


class FaultyProxy(ThreadingHTTPServer):
    """Forwards to `upstream` between `with` and its end; clients talk to `url`."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, upstream: str) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.upstream = urlsplit(upstream).netloc
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        self.faults = Faults()

    def __enter__(self) -> FaultyProxy:
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self.server_close()

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that goes away in the middle of a request is what many tests are about."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1
    disable_nagle_algorithm = True
    server: FaultyProxy

    def log_message(self, *_: object) -> None:
        pass

    def serve(self) -> None:
        fault = self.server.faults.strike(self.command, self.path)
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if fault and fault.action == "reset":
            return self.reset()
        if fault and isinstance(fault.action, int):
            return self.refuse(fault)
        if fault and fault.action == "spoil" and body:
            body = bytes([body[0] ^ 1]) + body[1:]
        self.forward(body, fault)

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = serve

    def refuse(self, fault: Fault) -> None:
        message = f"<?xml version='1.0'?><Error><Code>{fault.reason}</Code><Message>Planned answer.</Message></Error>"
        headers = {"x-ms-error-code": fault.reason, "Content-Type": "application/xml", **fault.headers}
        self.answer(int(fault.action), list(headers.items()), message.encode())

    def forward(self, body: bytes, fault: Fault | None) -> None:
        upstream = http.client.HTTPConnection(self.server.upstream)
        try:
            upstream.request(self.command, self.path, body or None, dict(self.headers.items()))
            with upstream.getresponse() as reply:
                content = reply.read()
                headers = [pair for pair in reply.getheaders() if pair[0].lower() not in HOP_BY_HOP]
        finally:
            upstream.close()
        if fault and fault.action == "lost":
            return self.reset()
        self.answer(reply.status, headers, content, cut=fault is not None and fault.action == "cut")

    def answer(self, status: int, headers: list[tuple[str, str]], content: bytes, *, cut: bool = False) -> None:
        self.send_response_only(status)
        names = {name.lower() for name, _ in headers}
        for name, value in headers:
            self.send_header(name, value)
        if "content-length" not in names:
            self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if cut:
            content, self.close_connection = content[: len(content) // 2], True
        if self.command != "HEAD":
            self.wfile.write(content)

    def reset(self) -> None:
        """A TCP reset, without lingering."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.close_connection = True
        self.connection.close()
