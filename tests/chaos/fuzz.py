"""Random requests with a seed: paths, methods, queries, heads and bodies, good and bad, signed and not.

    python -m tests.chaos.fuzz http://127.0.0.1:8000 --secret … --requests 100000 --pid <gunicorn's>

`fuzz` sends them and gives an account; `Account.faults` is empty when all went as promised: no 5xx but 503, and no
redirect below /webhooks. The same seed makes the same requests, up to times and tokens.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import socket
import string
import sys
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, quote, unquote, urlsplit

from simulator.signing import SIGNING_FAULTS, Signer, hash_body, hash_query

APPLICATION_ID = "aaaaaaaa-bbbb-cccc-dddd-0123456789ab"
ROUTES = ("answer", "answer/call", "answer/moderated", "fallback", "recordings", "events", "transcriptions")
PAGES = ("/healthz", "/readyz", "/metrics", "/", "/recordings", "/api/recordings", "/deliveries", "/favicon.ico")
METHODS = (*("POST",) * 16, *("GET",) * 5, "HEAD", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "BREW", "post")
KEYS = (
    *("recording_uuid", "conversation_uuid", "recording_url", "size", "start_time", "end_time", "timestamp", "status"),
    *("uuid", "from", "to", "direction", "type", "body", "speech", "dtmf", "payload", "reason", "cid", "custom_data"),
    *("transcription_url", "call_uuid", "conversation_id", "conversation_uuid_from", "conversation_uuid_to", "error"),
    *("name", "role", "flow", "endpoint_type", "from_user", "region_url", "recording_id", "destination_url", "format"),
)
TEXTS = (
    *("", " ", "null", "-1", "1e999", "\u0000", "\ud800", "\u2028", "\u202e", "é", "💩", "CON-1", "completed"),
    *("audio:record:done", "audio:transcribe:done", "transcribed", "ringing", "transfer", "voicemail", "moderator"),
    *("2024-05-01T10:00:00Z", "2024-05-01 10:00", "9999-12-31T23:59:59+14:00", "sip:x@y", "447700900000", "+1", "%00"),
    *(
        "https://api.nexmo.com/v1/files/a",
        "https://[::1",
        "http://evil.example/",
        "../../etc/passwd",
        "'; DROP TABLE x",
    ),
)
FIELDS = (
    *("Authorization: Basic eDp5", "Authorization: Bearer", "Authorization: Bearer a.b.c", "Content-Type: text/\xff"),
    *("Content-Type: application/json; charset=utf-99", "Transfer-Encoding: identity", "X-Forwarded-Proto: https"),
    *("Expect: 100-continue", "Expect: the-unexpected", "Cookie: a=b; session=.x.y", "Range: bytes=0-1", "Host: x\x00"),
    *("Content-Encoding: gzip", "Upgrade: h2c", "Connection: upgrade", "X_Under: score", "Bad Name: 1", "X-Long: "),
    *("X-HTTP-Method-Override: DELETE", "Content-Length: -1", "Content-Length: 1e3", "Accept: */*;q=x", ": empty"),
)


@dataclass
class Account:
    """What came back: how often each status (0: the connection was closed), and what broke a promise."""

    statuses: Counter[int] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)
    slowest: float = 0.0

    def add(self, request: bytes, status: int, location: str, seconds: float) -> None:
        self.statuses[status] += 1
        self.slowest = max(self.slowest, seconds)
        unknown_coding = status == 501 and b"transfer-encoding" in request.lower()  # as RFC 9112, section 6.1, asks
        if status >= 500 and status != 503 and not unknown_coding:
            self.faults.append(f"{status}: {request[:300]!r}")
        if 300 <= status < 400 and _below_webhooks(request):
            self.faults.append(f"{status} to {location}: {request[:300]!r}")

    def __str__(self) -> str:
        counts = ", ".join(f"{status or 'closed'} {count}" for status, count in sorted(self.statuses.items()))
        return f"{self.statuses.total()} requests: {counts}; slowest {self.slowest:.2f} s; faults {len(self.faults)}"


def _below_webhooks(request: bytes) -> bool:
    target = request.split(b" ", 2)[1:2]
    path = unquote(target[0].decode("latin-1")) if target else ""
    return re.sub("/+", "/", path).startswith("/webhooks")


class Requests:
    """Makes random requests: `next()` gives the bytes of one."""

    def __init__(self, seed: int, secret: str, *, clock: Callable[[], float] = time.time) -> None:
        self._random = random.Random(seed)
        self._signer = Signer(secret, "a1b2c3d4", APPLICATION_ID)
        self._clock = clock

    def next(self) -> bytes:
        """One request, good or bad."""
        dice = self._random
        method, target = dice.choice(METHODS), self._target()
        body = b"" if method in ("GET", "HEAD") and dice.random() < 0.9 else self._body()
        fields = ["Host: x", *self._authorization(method, target, body)]
        fields += [self._field() for _ in range(dice.choice((0,) * 7 + (1, 3)))]
        head, tail = self._framed(body)
        dice.shuffle(fields)
        version = dice.choice(("HTTP/1.1",) * 60 + ("HTTP/1.0", "HTTP/3.0", "HTTP/1.1 ", ""))
        lines = [f"{method} {target} {version}", *fields, *head, "", ""]
        request = "\r\n".join(lines).encode("latin-1", "replace") + tail
        return self._damaged(request) if dice.random() < 0.03 else request

    def _target(self) -> str:
        dice = self._random
        if dice.random() < 0.15:
            return dice.choice((*PAGES, "*", "http://x/webhooks/events", "/" + self._junk(40)))
        path = f"/webhooks/{dice.choice(ROUTES)}"
        if dice.random() < 0.15:
            at = dice.randrange(len(path))
            odd = dice.choice(("/", "//", ".", "/./", "/../", "%2F", "%00", "%", "\xe9", ";", " ", "A", "?", "#"))
            path = path[:at] + odd + path[at:]
        parameters = self._object(0) if dice.random() < 0.4 else {}
        query = "&".join(f"{quote(key)}={quote(_text(value), safe=':/?=')}" for key, value in parameters.items())
        return f"{path}?{query}" if query else path

    def _body(self) -> bytes:
        dice = self._random
        kind = dice.random()
        if kind < 0.1:
            return dice.randbytes(dice.choice((0, 1, 50, 5000)))
        if kind < 0.12:
            return b"[" * dice.choice((10, 5000)) + b"x" * dice.choice((1, 70_000, 1_100_000))
        return json.dumps(self._object(0), ensure_ascii=dice.random() < 0.5).encode("utf-8", "surrogatepass")

    def _object(self, depth: int) -> dict[str, Any]:
        dice = self._random
        made: dict[str, Any] = {key: self._value(depth) for key in dice.sample(KEYS, dice.choice((1, 3, 6, 12)))}
        if depth == 0 and dice.random() < 0.5:
            made |= {"conversation_uuid": f"CON-{dice.randrange(500)}", "uuid": f"leg-{dice.randrange(500)}"}
        if depth == 0 and dice.random() < 0.4:
            name = f"rec-{dice.randrange(200)}"
            made |= {"recording_uuid": name, "recording_url": f"https://api.nexmo.com/v1/files/{name}"}
        return made

    def _value(self, depth: int) -> Any:
        dice = self._random
        kind = dice.randrange(10)
        if kind < 5:
            return dice.choice(TEXTS)
        if kind < 7:
            return dice.choice((None, True, False, 0, -1, 1.5, 1e308, 2**63, -(2**70), 10**40))
        if kind == 7:
            return self._junk(dice.choice((1, 30, 300, 3000)))
        if depth > 2:
            return []
        return self._object(depth + 1) if kind == 8 else [self._value(depth + 1) for _ in range(dice.randrange(4))]

    def _junk(self, most: int) -> str:
        dice = self._random
        return "".join(dice.choice(string.printable[:94]) for _ in range(dice.randrange(most + 1)))

    def _authorization(self, method: str, target: str, body: bytes) -> list[str]:
        dice = self._random
        kind = dice.random()
        if kind < 0.1:
            return []
        fault = dice.choice(SIGNING_FAULTS) if kind < 0.2 else None
        pairs = parse_qsl(urlsplit(f"//x{target}" if target.startswith("/") else "//x/").query, keep_blank_values=True)
        token = self._signer.authorization(
            hash_body(body) if method != "GET" else hash_query(pairs), self._clock(), fault
        )
        return [f"Authorization: {token}"] if token else []

    def _field(self) -> str:
        chosen = self._random.choice(FIELDS)
        return chosen + "x" * self._random.choice((10, 8000, 20_000)) if chosen.endswith(": ") else chosen

    def _framed(self, body: bytes) -> tuple[list[str], bytes]:
        dice = self._random
        kind = dice.random()
        if kind < 0.15 and body:
            at = dice.randrange(len(body))
            pieces = [piece for piece in (body[:at], body[at:]) if piece]
            return ["Transfer-Encoding: chunked"], b"".join(
                b"%x\r\n%s\r\n" % (len(p), p) for p in pieces
            ) + b"0\r\n\r\n"
        if kind < 0.17:
            return [f"Content-Length: {len(body) + dice.choice((-1, 1, 5, 10**7, 10**30))}"], body
        return [f"Content-Length: {len(body)}"] if body or dice.random() < 0.5 else [], body

    def _damaged(self, request: bytes) -> bytes:
        dice = self._random
        at = dice.randrange(len(request))
        return (
            request[:at]
            + dice.choice((b"", b"\r\n", b"\n", b"\x00", dice.randbytes(8)))
            + request[at + dice.randrange(9) :]
        )


def fuzz(url: str, secret: str, *, requests: int, seed: int = 1, threads: int = 4) -> Account:
    """Send so many requests from several threads. A request that is not whole ends with our side of the connection."""
    parts = urlsplit(url)
    address = (parts.hostname or "", parts.port or 80)
    account = Account()

    def run(number: int) -> None:
        source = Requests(seed * 1000 + number, secret)
        for _ in range(requests // threads):
            request, begun = source.next(), time.monotonic()
            status, location = _send(address, request)
            account.add(request, status, location, time.monotonic() - begun)

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(run, range(threads)))
    return account


def _send(address: tuple[str, int], request: bytes) -> tuple[int, str]:
    """The status of the last reply and where it leads; 0 for a connection that was closed without any."""
    reply = b""
    # It may refuse a request, and close, before it has read all of it.
    with socket.create_connection(address, timeout=30) as client, suppress(BrokenPipeError, ConnectionResetError):
        client.sendall(request)
        client.shutdown(socket.SHUT_WR)
        while data := client.recv(65536):
            reply += data
    statuses = re.findall(rb"(?:^|\n)HTTP/1\.[01] ([2-5]\d\d) ", reply)
    location = re.search(rb"\r\nLocation: ([^\r]*)", reply)
    return int(statuses[0]) if statuses else 0, location[1].decode("latin-1") if location else ""


def _text(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return text.encode("utf-8", "replace").decode()


def resident(pid: int) -> int:
    """The bytes of memory that a process and its children hold."""
    total = 0
    for process in (pid, *_children(pid)):
        status = Path(f"/proc/{process}/status").read_text()
        total += int(re.findall(r"VmRSS:\s+(\d+)", status)[0]) * 1024
    return total


def _children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def main() -> int:
    parser = argparse.ArgumentParser(description="Send random requests to a running application.")
    parser.add_argument("url")
    parser.add_argument("--secret", required=True)
    parser.add_argument("--requests", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--pid", type=int, help="gunicorn's: its memory is measured")
    options = parser.parse_args()
    rounds, faults = 10, 0
    for number in range(rounds):
        account = fuzz(options.url, options.secret, requests=options.requests // rounds, seed=options.seed + number)
        memory = f"; {resident(options.pid) / 2**20:.0f} MiB" if options.pid else ""
        print(f"{account}{memory}", flush=True)
        for fault in account.faults[:10]:
            print(f"  {fault}", flush=True)
        faults += len(account.faults)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
