"""A pretend Azure Blob Storage that throws the bytes away: `python -m bench.sinks` prints its address.

What limits a transfer to it is the client. It checks nothing: that is what the tests' emulators are for.
"""

from __future__ import annotations

import sys
import threading
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

PIECE = 256 * 1024


class Sink(ThreadingHTTPServer):
    """Remembers how many bytes came to each blob, and nothing else."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.staged: dict[str, int] = {}
        self.blobs: dict[str, int] = {}


class Handler(BaseHTTPRequestHandler):
    """Put Block, Put Block List, Put Blob, Get Blob Properties."""

    protocol_version = "HTTP/1.1"
    wbufsize = -1
    disable_nagle_algorithm = True
    server: Sink

    def log_message(self, *_: Any) -> None:
        pass

    def do_PUT(self) -> None:
        parts = urlsplit(self.path)
        action = parse_qs(parts.query).get("comp", ["blob"])[0]
        size = self._drain()
        if action == "block":
            self.server.staged[parts.path] = self.server.staged.get(parts.path, 0) + size
        else:
            self.server.blobs[parts.path] = self.server.staged.pop(parts.path, 0) if action == "blocklist" else size
        self._answer(201, 0)

    def do_HEAD(self) -> None:
        size = self.server.blobs.get(urlsplit(self.path).path)
        self._answer(404 if size is None else 200, size or 0, {"x-ms-blob-type": "BlockBlob"})

    def _drain(self) -> int:
        size = left = int(self.headers.get("Content-Length") or 0)
        buffer = memoryview(bytearray(PIECE))
        while left:
            left -= self.rfile.readinto(buffer[: min(left, PIECE)]) or left
        return size

    def _answer(self, status: int, length: int, more: dict[str, str] | None = None) -> None:
        self.send_response(status)
        headers = {"x-ms-version": self.headers.get("x-ms-version", ""), "x-ms-request-id": "bench", "ETag": '"0x1"'}
        headers |= {"Last-Modified": formatdate(usegmt=True), "Content-Length": str(length), **(more or {})}
        if status == 404:
            headers["x-ms-error-code"] = "BlobNotFound"
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()


def main() -> None:
    """Serve until the input is closed."""
    sink = Sink()
    threading.Thread(target=sink.serve_forever, daemon=True).start()
    print(f"http://127.0.0.1:{sink.server_address[1]}", flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
