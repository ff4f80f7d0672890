"""The load generator: it makes requests beforehand and sends them over kept-alive connections, in one simple loop.

A general HTTP client would take as long for a request as a server does for its answer, and be what is measured.
"""

from __future__ import annotations

import hashlib
import json
import selectors
import socket
import statistics
import time
import uuid
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from simulator.events import new_conversation, recording
from simulator.signing import Signer
from tests.services.application import APPLICATION_ID, SIGNATURE_SECRET

_END_OF_HEADERS = b"\r\n\r\n"


@dataclass
class Outcome:
    """What came of a load: answers by status, and the seconds of every answer.

    `began` and `ended` are of `time.perf_counter`; `busy` is the share of a core that sending took.
    """

    statuses: Counter[str] = field(default_factory=Counter)
    began: float = field(default_factory=time.perf_counter)
    ended: float = 0.0
    busy: float = 0.0
    waits: list[float] = field(default_factory=list)

    @property
    def seconds(self) -> float:
        """From the first request to the last answer."""
        return self.ended - self.began

    @property
    def rate(self) -> float:
        """Answers a second."""
        return len(self.waits) / self.seconds

    def percentile(self, share: int) -> float:
        """Milliseconds within which so many per cent were answered."""
        return statistics.quantiles(self.waits, n=100)[share - 1] * 1000


def signed_events(urls: Sequence[str], size: int) -> list[bytes]:
    """A recording event for each URL as a whole HTTP request, with ids that no other event has."""
    signer = Signer(SIGNATURE_SECRET, "a1b2c3d", APPLICATION_ID)
    now = time.time()
    return [_request(signer, url, size, now) for url in urls]


def _request(signer: Signer, url: str, size: int, now: float) -> bytes:
    event = recording(str(uuid.uuid4()), new_conversation(), url, size, now - 8, now, now)
    body = json.dumps(event).encode()
    head = (
        "POST /webhooks/recordings?flow=voicemail HTTP/1.1\r\nHost: bench.example.com\r\n"
        f"Authorization: {signer.authorization(hashlib.sha256(body).hexdigest(), now)}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def send(port: int, requests: Sequence[bytes], connections: int, *, expected: str = "204") -> Outcome:
    """Send all requests, so many at once, and wait for the last answer. Raises unless every answer has this status."""
    outcome, waiting = Outcome(), iter(requests)
    busy = time.process_time()
    with selectors.DefaultSelector() as selector:
        for _ in range(connections):
            _Connection(port, waiting, outcome, selector).send_next()
        while selector.get_map():
            for key, _ in selector.select():
                key.data.receive()
    outcome.ended = time.perf_counter()
    if set(outcome.statuses) != {expected}:
        raise RuntimeError(f"Every answer should have been {expected}; they were {dict(outcome.statuses)}.")
    outcome.busy = (time.process_time() - busy) / outcome.seconds
    return outcome


class _Connection:
    """One kept-alive connection; a server that closes it gets a new one."""

    def __init__(
        self, port: int, waiting: Iterator[bytes], outcome: Outcome, selector: selectors.DefaultSelector
    ) -> None:
        self._port, self._waiting, self._outcome, self._selector = port, waiting, outcome, selector
        self._open()

    def _open(self) -> None:
        self._socket = socket.create_connection(("127.0.0.1", self._port))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._selector.register(self._socket, selectors.EVENT_READ, self)
        self._answer = b""

    def _shut(self) -> None:
        self._selector.unregister(self._socket)
        self._socket.close()

    def send_next(self) -> None:
        request = next(self._waiting, None)
        if request is None:
            return self._shut()
        self._request = request
        self._send()
        return None

    def _send(self) -> None:
        self._sent = time.perf_counter()
        self._socket.sendall(self._request)

    def receive(self) -> None:
        piece = self._socket.recv(1 << 16)
        if not piece:  # closed between two requests: the same one again, over a new connection
            self._shut()
            self._open()
            return self._send()
        self._answer += piece
        head, separator, body = self._answer.partition(_END_OF_HEADERS)
        if separator and len(body) >= _length(head):
            self._done(head)
        return None

    def _done(self, head: bytes) -> None:
        self._outcome.waits.append(time.perf_counter() - self._sent)
        self._outcome.statuses[head[9:12].decode()] += 1
        self._answer = b""
        if b"connection: close" in head.lower():
            self._shut()
            self._open()
        self.send_next()


def _length(head: bytes) -> int:
    _, header, rest = head.lower().partition(b"content-length:")
    return int(rest.split(b"\r\n", 1)[0]) if header else 0
