"""A pretend Google Cloud Storage that is as strict as the real one where the public emulators are not.

It checks `ifGenerationMatch` when an upload begins and again when it ends, checks X-Goog-Hash, wants chunks that are
multiples of 256 KiB, keeps part of a chunk when it is told to, and lets requests fail by plan. `null_sink` throws the
bytes away and keeps their length and crc32c, for tests of memory and speed.
Run it alone: `python -m tests.fakes.strict_gcs BUCKET ... [--null-sink]` prints its address.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import socket
import sys
import threading
import uuid
from dataclasses import dataclass, field
from email.parser import BytesParser
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import google_crc32c

from tests.fakes.faults import Fault, Faults

UNIT = 256 * 1024


@dataclass
class Session:
    """One resumable upload, unfinished until `resource` is set."""

    bucket: str
    name: str
    described: dict[str, Any]
    content_type: str
    generation_match: str | None
    data: bytearray = field(default_factory=bytearray)
    size: int = 0
    crc32c: int = 0
    resource: dict[str, Any] | None = None
    cancelled: bool = False


class Refusal(Exception):
    def __init__(self, status: int, message: str, reason: str = "invalid") -> None:
        self.status, self.message, self.reason = status, message, reason


class StrictGcs(ThreadingHTTPServer):
    """Serves in threads of its own between `with` and its end; `url` is for STORAGE_EMULATOR_HOST."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, *buckets: str, null_sink: bool = False, page: int = 1000, port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), Handler)
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        self.buckets: dict[str, dict[str, tuple[dict[str, Any], bytes]]] = {name: {} for name in buckets}
        self.sessions: dict[str, Session] = {}
        self.retained: set[str] = set()
        self.guarded = False  # wants the token that POST /token gives
        self.trusting = False  # takes spoilt bytes without looking at X-Goog-Hash
        self.null_sink, self.page = null_sink, page
        self.faults = Faults()
        self.lock = threading.RLock()
        self.generation = 1

    def __enter__(self) -> StrictGcs:
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self.server_close()

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that goes away in the middle of a request is what many tests are about."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)

    def objects(self, bucket: str) -> dict[str, tuple[dict[str, Any], bytes]]:
        if bucket not in self.buckets:
            raise Refusal(404, "The specified bucket does not exist.", "notFound")
        return self.buckets[bucket]

    def find(self, bucket: str, name: str) -> tuple[dict[str, Any], bytes]:
        there = self.objects(bucket).get(name)
        if there is None:
            raise Refusal(404, f"No such object: {bucket}/{name}", "notFound")
        return there

    def check_generation(self, bucket: str, name: str, wanted: str | None) -> None:
        there = self.objects(bucket).get(name)
        if wanted is not None and wanted != (there[0]["generation"] if there else "0"):
            raise Refusal(412, "At least one of the pre-conditions you specified did not hold.", "conditionNotMet")

    def finish(self, session: Session, sent_hash: str | None) -> dict[str, Any]:
        crc32c = base64.b64encode(session.crc32c.to_bytes(4, "big")).decode()
        claimed = re.search(r"crc32c=([^,\s]+)", sent_hash or "")
        if claimed and claimed[1] != crc32c and not self.trusting:
            raise Refusal(400, f'Provided CRC32C "{claimed[1]}" doesn\'t match calculated CRC32C "{crc32c}".')
        with self.lock:
            self.check_generation(session.bucket, session.name, session.generation_match)
            self.generation += 1
            data = bytes(session.data)
            session.resource = {
                "kind": "storage#object",
                "name": session.name,
                "bucket": session.bucket,
                "generation": str(self.generation),
                "metageneration": "1",
                "contentType": session.content_type,
                "size": str(session.size),
                "crc32c": crc32c,
                "metadata": session.described.get("metadata", {}),
            }
            if not self.null_sink:
                session.resource["md5Hash"] = base64.b64encode(hashlib.md5(data).digest()).decode()
            self.objects(session.bucket)[session.name] = (session.resource, data)
        return session.resource


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1
    disable_nagle_algorithm = True
    server: StrictGcs
    fault: Fault | None

    def log_message(self, *_: object) -> None:
        pass

    def handle_one_request(self) -> None:
        self.fault = None
        super().handle_one_request()

    def serve(self) -> None:
        parts = urlsplit(self.path)
        self.query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
        self.fault = fault = self.server.faults.strike(self.command, self.path)
        self.unread = int(self.headers.get("Content-Length") or 0)
        try:
            if fault and fault.action == "reset":
                return self.reset()
            if fault and isinstance(fault.action, int):
                raise Refusal(fault.action, f"Planned answer {fault.action}.", fault.reason)
            self.route(parts.path)
        except Refusal as refusal:
            self.drain()
            error = {"code": refusal.status, "message": refusal.message, "errors": [{"reason": refusal.reason}]}
            self.answer(refusal.status, {"error": error}, dict(fault.headers) if fault else {})

    do_GET = do_POST = do_PUT = do_DELETE = serve

    def route(self, path: str) -> None:
        if path == "/token":
            return self.answer(200, {"access_token": "good", "expires_in": 3600, "token_type": "Bearer"})
        if self.server.guarded and self.headers.get("Authorization") != "Bearer good":
            raise Refusal(401, "Invalid Credentials", "authError")
        parsed = re.fullmatch(r"(?:/(?:upload|download))?/storage/v1/b/([^/]+)/o(?:/(.+))?", path)
        if not parsed:
            raise Refusal(501, f"This pretend Google has no {path}.", "notImplemented")
        bucket, name = parsed[1], unquote(parsed[2] or "")
        if self.command == "GET":
            return self.read_object(bucket, name) if name else self.list_objects(bucket)
        if "upload_id" in self.query:
            return self.cancel() if self.command == "DELETE" else self.take_chunk()
        if self.command == "DELETE":
            return self.delete_object(bucket, name)
        return self.begin(bucket)

    # --- uploads

    def begin(self, bucket: str) -> None:
        body = self.body()
        if self.query["uploadType"] == "multipart":
            return self.take_multipart(bucket, body)
        described = json.loads(body)
        session = self.new_session(bucket, described, self.headers.get("X-Upload-Content-Type"))
        key = uuid.uuid4().hex
        self.server.sessions[key] = session
        where = f"{self.server.url}/upload/storage/v1/b/{bucket}/o?uploadType=resumable&upload_id={key}"
        self.answer(200, None, {"Location": where})

    def new_session(self, bucket: str, described: dict[str, Any], content_type: str | None) -> Session:
        name, wanted = described["name"], self.query.get("ifGenerationMatch")
        self.server.check_generation(bucket, name, wanted)
        return Session(bucket, name, described, described.get("contentType") or content_type or "", wanted)

    def take_multipart(self, bucket: str, body: bytes) -> None:
        header = f"Content-Type: {self.headers['Content-Type']}\r\n\r\n".encode()
        described, content = BytesParser().parsebytes(header + body).get_payload()
        described_json = json.loads(described.get_payload(decode=True))
        session = self.new_session(bucket, described_json, content.get_content_type())
        session.data = bytearray(content.get_payload(decode=True))
        session.size, session.crc32c = len(session.data), google_crc32c.value(bytes(session.data))
        claimed = described_json.get("crc32c")
        self.answer(200, self.server.finish(session, f"crc32c={claimed}" if claimed else None))

    def take_chunk(self) -> None:
        session = self.server.sessions.get(self.query["upload_id"])
        if session is None or session.cancelled:
            raise Refusal(404 if session is None else 499, "The upload session is not there.", "notFound")
        if session.resource:
            self.drain()
            return self.answer(200, session.resource)
        begin, length, total = self.content_range()
        self.keep(session, begin, length, total)
        if session.size == total:
            resource = self.server.finish(session, self.headers.get("X-Goog-Hash"))
            return self.reset() if self.fault and self.fault.action == "lost" else self.answer(200, resource)
        if self.fault and self.fault.action == "lost":
            return self.reset()
        self.answer(308, None, {"Range": f"bytes=0-{session.size - 1}"} if session.size else {})

    def content_range(self) -> tuple[int | None, int, int | None]:
        span = re.fullmatch(r"bytes (?:(\d+)-(\d+)|\*)/(?:(\d+)|\*)", self.headers["Content-Range"])
        assert span, self.headers["Content-Range"]
        begin, end, total = (int(number) if number else None for number in span.groups())
        length = 0 if begin is None else end - begin + 1
        assert length == self.unread, "Content-Range and Content-Length differ"
        return begin, length, total

    def keep(self, session: Session, begin: int | None, length: int, total: int | None) -> None:
        if begin is not None and begin > session.size:
            raise Refusal(400, f"The upload offset is {begin}, which exceeds already uploaded size of {session.size}.")
        if total is None and length % UNIT:
            raise Refusal(400, f"The number of bytes of a chunk must be a multiple of {UNIT}, except in the last.")
        skip = session.size - begin if begin is not None else 0
        partial = self.fault is not None and self.fault.action == "partial"
        limit = (length // 2) // UNIT * UNIT if partial else length
        self.read_into(session, skip, limit)

    def read_into(self, session: Session, skip: int, limit: int) -> None:
        """Take the body from `skip` to `limit`, and drop the rest of it."""
        view = memoryview(bytearray(UNIT))
        done = 0
        while self.unread:
            count = self.rfile.readinto(view[: min(self.unread, UNIT)])
            if not count:
                raise ConnectionResetError
            self.unread -= count
            piece = bytes(view[max(0, skip - done) : max(0, min(count, limit - done))])
            done += count
            if self.fault and self.fault.action == "spoil" and piece:
                piece = bytes([piece[0] ^ 1]) + piece[1:]
            session.crc32c = google_crc32c.extend(session.crc32c, piece)
            session.size += len(piece)
            if not self.server.null_sink:
                session.data += piece

    def cancel(self) -> None:
        self.server.sessions[self.query["upload_id"]].cancelled = True
        self.answer(499, None)

    # --- objects

    def list_objects(self, bucket: str) -> None:
        prefix, after = self.query.get("prefix", ""), self.query.get("pageToken", "")
        with self.server.lock:
            names = sorted(name for name in self.server.objects(bucket) if name.startswith(prefix) and name > after)
            shown = names[: self.server.page]
            page: dict[str, Any] = {"items": [self.server.objects(bucket)[name][0] for name in shown]}
        if len(names) > len(shown):
            page["nextPageToken"] = shown[-1]
        self.answer(200, page)

    def read_object(self, bucket: str, name: str) -> None:
        resource, data = self.server.find(bucket, name)
        if self.query.get("alt") != "media":
            return self.answer(200, resource)
        span = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        if not span:
            return self.answer(200, data)
        if int(span[1]) >= len(data):
            raise Refusal(416, "The requested range cannot be satisfied.", "requestedRangeNotSatisfiable")
        self.answer(206, data[int(span[1]) : int(span[2]) + 1 if span[2] else None])

    def delete_object(self, bucket: str, name: str) -> None:
        with self.server.lock:
            self.server.find(bucket, name)
            if name in self.server.retained:
                message = f"Object '{bucket}/{name}' is subject to bucket's retention policy and cannot be deleted."
                raise Refusal(403, message, "retentionPolicyNotMet")
            self.server.check_generation(bucket, name, self.query.get("ifGenerationMatch"))
            del self.server.buckets[bucket][name]
        self.answer(204, None)

    # --- the wire

    def body(self) -> bytes:
        body, self.unread = self.rfile.read(self.unread), 0
        return body

    def drain(self) -> None:
        while self.unread and (piece := self.rfile.read(min(self.unread, UNIT))):
            self.unread -= len(piece)

    def reset(self) -> None:
        """A TCP reset: closed with unread data waiting, and without lingering."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.close_connection = True
        self.connection.close()

    def answer(self, status: int, body: Any, headers: dict[str, str] | None = None) -> None:
        content = body if isinstance(body, bytes) else json.dumps(body).encode() if body is not None else b""
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Type", "audio/mpeg" if isinstance(body, bytes) else "application/json")
        if status != 204:
            self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.fault and self.fault.action == "cut":
            content, self.close_connection = content[: len(content) // 2], True
        self.wfile.write(content)


if __name__ == "__main__":
    with StrictGcs(*[name for name in sys.argv[1:] if name[:2] != "--"], null_sink="--null-sink" in sys.argv) as server:
        print(server.url, flush=True)
        sys.stdin.read()  # until whoever started this closes the pipe, or ends
