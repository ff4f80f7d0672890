"""Every way in which a download can go wrong, by name.

Here lives what a fault looks like on the wire. A fault is a word, some with a value after a colon: `429:3` asks to
wait 3 s, `drip:0.2` pauses 0.2 s between 16 pieces, `redirect:https://...` names the place. Any status from 400 to 599
is one too. Faults that break the framing of HTTP write to the client's socket themselves, which the threaded server of
`loopback` and gunicorn's sync and gthread workers both allow.
"""

from __future__ import annotations

import contextlib
import gzip
import os
import select
import socket
import struct
import threading
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from flask import Response, jsonify

from .shelf import ServedFile

# The bodies of Vonage's error replies; not proven for the host of the files.
# https://developer.vonage.com/en/api-errors
TITLES = {
    400: ("Bad Request", "The request could not be understood.", "#bad-request"),
    401: ("Unauthorized", "You did not provide correct credentials.", "#unauthorized"),
    403: ("Forbidden", "Your account does not have permission to perform this action.", "#forbidden"),
    404: ("Not found.", "File does not exist, or you do not have access.", "#not-found"),
    410: ("Gone", "The file is no longer available.", "#gone"),
    429: ("Rate Limit Hit", "Please wait, then retry your request", "#rate-limit"),
    503: ("Service Unavailable", "Please wait, then retry your request", ""),
}
IN_ONE_PIECE = 1 << 20  # bytes; a server takes a write, and a change of threads, for each further piece
PAGE = b"<!doctype html><html><head><title>Sign in</title></head><body><h1>Please sign in</h1></body></html>"


@dataclass(frozen=True)
class Situation:
    """What a fault has to work with. `closing` is set when the server goes down and ends every wait."""

    file: ServedFile
    value: str
    environ: Mapping[str, Any]
    stranger_origin: str = ""
    closing: threading.Event = field(default_factory=threading.Event)


def problem(status: int, headers: Mapping[str, str] | None = None) -> Response:
    """An error reply in Vonage's shape: `type`, `title`, `detail`, `instance`."""
    title, detail, anchor = TITLES.get(status, ("Internal Server Error", "An error has occurred on our side.", ""))
    kind = f"https://developer.vonage.com/api-errors{anchor}"
    reply = jsonify(type=kind, title=title, detail=detail, instance=uuid.uuid4().hex)
    reply.status_code = status
    reply.headers.extend(dict(headers or {}))
    return reply


def whole(file: ServedFile) -> Response:
    """The file as it is, with its Content-Length."""
    body = file.content if file.size <= IN_ONE_PIECE else file.chunks()
    reply = Response(body, mimetype=file.content_type, direct_passthrough=True)
    reply.content_length = file.size
    return reply


def misbehave(fault: str, situation: Situation) -> Response:
    """The reply that this fault gives."""
    name = fault.partition(":")[0]
    return FAULTS[name](situation) if name in FAULTS else problem(int(name))


def check_faults(faults: Iterable[str]) -> list[str]:
    """The faults as a list; ValueError, naming the known ones, for a word that is none."""
    listed = [str(fault) for fault in faults]
    for name in (fault.partition(":")[0] for fault in listed):
        if name not in FAULTS and not (name.isascii() and name.isdigit() and 400 <= int(name) <= 599):
            known = ", ".join(FAULTS)
            raise ValueError(f"The pretend Vonage knows no misbehaviour {name!r}: use 400 to 599, or one of {known}.")
    return listed


# --- Replies that are proper HTTP ------------------------------------------------------------------------------------


def _rate_limited(situation: Situation) -> Response:
    return problem(429, {"Retry-After": situation.value or "1"})


def _html(_: Situation) -> Response:
    return Response(PAGE, mimetype="text/html")


def _json(_: Situation) -> Response:
    reply = problem(500)
    reply.status_code = 200
    return reply


def _empty(situation: Situation) -> Response:
    return Response(b"", mimetype=situation.file.content_type)


def _gzip(situation: Situation) -> Response:
    body = gzip.compress(situation.file.content)
    return Response(body, mimetype=situation.file.content_type, headers={"Content-Encoding": "gzip"})


def _chunked(situation: Situation) -> Response:
    """No Content-Length: both servers then frame the body as chunks."""
    return Response(situation.file.chunks(), mimetype=situation.file.content_type, direct_passthrough=True)


def _drip(situation: Situation) -> Response:
    pause, file = float(situation.value or 0.1), situation.file
    piece = max(1, file.size // 16)

    def pieces() -> Iterator[bytes]:
        content = file.content
        for start in range(0, len(content), piece):
            yield content[start : start + piece]
            situation.closing.wait(pause)

    reply = Response(pieces(), mimetype=file.content_type, direct_passthrough=True)
    reply.content_length = file.size
    return reply


def _redirect(situation: Situation) -> Response:
    """To the given place, or to the same file again, which is an allowed host."""
    return Response(status=302, headers={"Location": situation.value or situation.file.url})


def _redirect_stranger(situation: Situation) -> Response:
    return Response(status=302, headers={"Location": f"{situation.stranger_origin}/v1/files/{situation.file.id}"})


# --- Replies that break HTTP: written to the socket ------------------------------------------------------------------


def _close_delimited(situation: Situation) -> Response:
    """All bytes, no length, then the end: complete, but nothing proves it."""
    return _write(situation, (), situation.file.chunks(), _hang_up)


def _truncated(situation: Situation) -> Response:
    """Half of the promised bytes, then the end."""
    return _write(situation, [f"Content-Length: {situation.file.size}"], _half(situation), _hang_up)


def _truncated_unsized(situation: Situation) -> Response:
    """Half of the bytes, no length, then the end: only the event's `size` tells."""
    return _write(situation, (), _half(situation), _hang_up)


def _truncated_chunked(situation: Situation) -> Response:
    """Half of the bytes in chunks, without the last, empty one."""
    chunks = (b"%x\r\n%b\r\n" % (len(piece), piece) for piece in _half(situation) if piece)
    return _write(situation, ["Transfer-Encoding: chunked"], chunks, _hang_up)


def _reset(situation: Situation) -> Response:
    """Half of the promised bytes, then a TCP reset."""
    return _write(situation, [f"Content-Length: {situation.file.size}"], _half(situation), _break_off)


def _hang(situation: Situation) -> Response:
    """Not a byte, until the client gives up."""
    client = _client(situation)
    poll = select.poll()
    poll.register(client, select.POLLIN | select.POLLHUP)
    while not situation.closing.is_set() and not poll.poll(50):
        pass
    _hang_up(client)
    return Response()


def _client(situation: Situation) -> socket.socket:
    client = situation.environ.get("gunicorn.socket") or situation.environ.get("werkzeug.socket")
    if not isinstance(client, socket.socket):
        raise RuntimeError("This misbehaviour needs the client's socket: run under gunicorn gthread or PretendVonage.")
    return client


def _half(situation: Situation) -> Iterator[bytes]:
    return situation.file.chunks(situation.file.size // 2)


def _write(
    situation: Situation, headers: Iterable[str], body: Iterable[bytes], finish: Callable[[socket.socket], None]
) -> Response:
    """Speak to the client directly. What the server writes afterwards meets a closed socket, which it takes quietly."""
    client = _client(situation)
    head = ["HTTP/1.1 200 OK", f"Content-Type: {situation.file.content_type}", "Connection: close", *headers, "", ""]
    try:
        client.sendall("\r\n".join(head).encode())
        for piece in body:
            client.sendall(piece)
        finish(client)
    except OSError:
        return Response()  # the client was gone first
    return Response()


def _hang_up(client: socket.socket) -> None:
    with contextlib.suppress(OSError):  # the client may have gone first
        client.shutdown(socket.SHUT_RDWR)


def _break_off(client: socket.socket) -> None:
    """Reset the connection now, though the server still holds the socket object.

    Lingering zero seconds makes closing a reset. dup2 closes what was under the descriptor and puts a dead pipe there,
    so the server's own close later cannot hit a descriptor that somebody else got meanwhile.
    """
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    dead, other = socket.socketpair()
    with dead, other:
        os.dup2(dead.fileno(), client.fileno())


FAULTS: dict[str, Callable[[Situation], Response]] = {
    "429": _rate_limited,
    "html": _html,
    "json": _json,
    "empty": _empty,
    "gzip": _gzip,
    "chunked": _chunked,
    "drip": _drip,
    "redirect": _redirect,
    "redirect-stranger": _redirect_stranger,
    "close-delimited": _close_delimited,
    "truncated": _truncated,
    "truncated-unsized": _truncated_unsized,
    "truncated-chunked": _truncated_chunked,
    "reset": _reset,
    "hang": _hang,
}
