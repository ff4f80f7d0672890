"""Clients that send half a request, and connect again whenever the server closes; and how long other clients wait then.

python -m tests.chaos.slow_clients http://127.0.0.1:8000    # measures a running application that answers unsigned
"""

from __future__ import annotations

import contextlib
import selectors
import socket
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import requests

HALVES = {
    "head": b"POST /webhooks/events HTTP/1.1\r\nHost: x\r\nX-a: ",
    "body": b"POST /webhooks/events HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{",
    "large": b"POST /webhooks/events HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n" + b"x" * 70_000,
    "chunk": b"POST /webhooks/events HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
    "garbage": b"\x16\x03\x01",
    "nothing": b"",
    "unread": b"GET /webhooks/nowhere HTTP/1.0\r\nHost: x\r\n\r\n",  # whole, but the client never closes
}


class SlowClients:
    """`count` connections that hold half a request; `cut` counts how often the server closed one."""

    def __init__(self, url: str, count: int, half: bytes) -> None:
        parts = urlsplit(url)
        self._address = (parts.hostname or "", parts.port or 80)
        self._half = half
        self._selector = selectors.DefaultSelector()
        self._stopped = threading.Event()
        self.cut = 0
        self.refused = 0
        for _ in range(count):
            self._open()
        self._thread = threading.Thread(target=self._keep_open, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._stopped.set()
        self._thread.join()
        for key in list(self._selector.get_map().values()):
            key.fileobj.close()  # type: ignore[union-attr]
        self._selector.close()

    def _open(self) -> None:
        try:
            client = socket.create_connection(self._address, timeout=5)
            client.sendall(self._half)
        except OSError:
            self.refused += 1
            return
        client.setblocking(False)
        self._selector.register(client, selectors.EVENT_READ)

    def _keep_open(self) -> None:
        while not self._stopped.is_set():
            for key, _ in self._selector.select(0.2):
                client = key.fileobj
                assert isinstance(client, socket.socket)
                ended = True
                with contextlib.suppress(OSError):
                    ended = client.recv(65536) == b""
                if ended and b"HTTP/1.0" not in self._half:
                    self._again(client)
                elif ended:  # this client keeps its own end open for a while, and then connects again
                    self._selector.unregister(client)
                    threading.Timer(3, client.close).start()
                    self._open()

    def _again(self, client: socket.socket) -> None:
        self.cut += 1
        self._selector.unregister(client)
        client.close()
        self._open()


@dataclass
class Felt:
    """What other clients saw: the seconds of each answer and of each event, and the statuses."""

    answers: list[float] = field(default_factory=list)
    events: list[float] = field(default_factory=list)
    statuses: Counter[object] = field(default_factory=Counter)

    @property
    def answers_p99(self) -> float:
        return sorted(self.answers)[int(len(self.answers) * 0.99)]

    def __str__(self) -> str:
        return (
            f"{len(self.answers)} answers, p99 {self.answers_p99:.3f} s; "
            f"{len(self.events)} events, slowest {max(self.events):.3f} s; {dict(self.statuses)}"
        )


Send = Callable[[], int]


def feel(answer: Send, event: Send, seconds: float, *, pause: float = 0.05) -> Felt:
    """Ask for an answer each `pause`, and deliver an event at the same rate, in two threads, for so many seconds."""
    felt = Felt()

    def repeat(send: Send, took: list[float], name: str) -> None:
        end, waiting = time.monotonic() + seconds, threading.Event()
        while (begun := time.monotonic()) < end:
            try:
                status: object = send()
            except requests.RequestException as error:
                status = type(error).__name__
            took.append(time.monotonic() - begun)
            felt.statuses[f"{name} {status}"] += 1
            waiting.wait(pause)

    threads = [
        threading.Thread(target=repeat, args=(answer, felt.answers, "answer")),
        threading.Thread(target=repeat, args=(event, felt.events, "event")),
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return felt


@contextlib.contextmanager
def slow_clients(url: str, count: int, kind: str) -> Iterator[SlowClients]:
    clients = SlowClients(url, count, HALVES[kind])
    try:
        yield clients
    finally:
        clients.close()


def main(url: str) -> None:
    def answer() -> int:
        return requests.get(f"{url}/webhooks/answer?conversation_uuid=CON-1&uuid=u-1", timeout=15).status_code

    def event() -> int:
        body = {"status": "ringing", "uuid": "u-1", "conversation_uuid": "CON-1"}
        return requests.post(f"{url}/webhooks/events", json=body, timeout=15).status_code

    for count in (16, 40, 200):
        for kind in HALVES:
            with slow_clients(url, count, kind) as clients:
                felt = feel(answer, event, 12)
            after = answer(), event()
            print(
                f"{count} {kind}: {felt}; cut {clients.cut}, refused {clients.refused}; afterwards {after}", flush=True
            )


if __name__ == "__main__":
    main(sys.argv[1])
