"""Sending webhooks as Vonage does: signed, without following redirects, and tried again once.

Here live requests to the application. What an event says is in `events`; when it is sent, in `calls`.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, quote, urlsplit

import requests
import urllib3

from .results import Reply, SentEvent
from .signing import SIGNING_FAULTS, Clock, Signer, hash_body, hash_query

# Seconds to connect and to wait for the reply: the platform's defaults for an application's webhooks.
# https://api.support.vonage.com/hc/en-us/articles/17498678806044
ANSWER_TIMEOUT = (1.0, 5.0)
EVENT_TIMEOUT = (1.0, 10.0)
# The statuses after which Vonage asks once more. https://api.support.vonage.com/hc/en-us/articles/115016024247
RETRIED = (429, 503, 504)
USER_AGENT = "Apache-HttpAsyncClient/4.1 (Java/1.8.0_66)"
MAX_REPLY = 1024 * 1024

# What can be wrong with an event: its token, or that it comes twice. `duplicate` repeats the very same request,
# `resigned` sends the same body again under a new token.
EVENT_FAULTS = (*SIGNING_FAULTS, "duplicate", "resigned")


@dataclass(frozen=True)
class Request:
    """A webhook request, ready to be sent any number of times."""

    method: str
    url: str
    headers: Mapping[str, str] = field(repr=False)
    body: bytes | None = None


def new_session() -> requests.Session:
    """A session that talks to nothing but the URL it is given: no proxy, no .netrc."""
    session = requests.Session()
    session.trust_env = False
    return session


class Courier:
    """Signs and sends. Safe to use from several threads, as far as its session is."""

    def __init__(self, signer: Signer, *, session: requests.Session | None = None, clock: Clock = time.time) -> None:
        self._signer = signer
        self._session = session or new_session()
        self._clock = clock

    def close(self) -> None:
        self._session.close()

    def send_event(self, url: str, payload: Any, *, method: str = "POST", fault: str | None = None) -> SentEvent:
        """Deliver one event, misbehaving as `fault` says (one of `EVENT_FAULTS`); never raises for a bad reply.

        `payload` is a JSON value, or bytes that are sent as they are.
        """
        if fault is not None and fault not in EVENT_FAULTS:
            raise ValueError(f"The pretend Vonage knows no event fault {fault!r}; known are {', '.join(EVENT_FAULTS)}.")
        first = self.sign(url, payload, method=method, fault=fault)
        sendings = [first]
        if fault in ("duplicate", "resigned"):
            sendings.append(first if fault == "duplicate" else self.sign(url, payload, method=method))
        replies = tuple(self.send(request, EVENT_TIMEOUT) for request in sendings)
        return SentEvent(url, payload if isinstance(payload, Mapping) else {}, replies)

    def sign(self, url: str, payload: Any, *, method: str = "POST", fault: str | None = None) -> Request:
        """The request that would deliver this payload, with its token."""
        if method == "GET":
            target = f"{url}{'&' if urlsplit(url).query else '?'}{query_string(payload)}"
            parameters = parse_qsl(urlsplit(target).query, keep_blank_values=True)
            return Request("GET", target, self._headers(hash_query(parameters), fault))
        body = payload if isinstance(payload, bytes) else json.dumps(payload, ensure_ascii=False).encode()
        headers = {"Content-Type": "application/json", **self._headers(hash_body(body), fault)}
        return Request("POST", url, headers, body)

    def _headers(self, payload_hash: str, fault: str | None) -> dict[str, str]:
        token = self._signer.authorization(payload_hash, self._clock(), fault)
        return {"User-Agent": USER_AGENT, **({"Authorization": token} if token else {})}

    def send(self, request: Request, timeout: tuple[float, float], *, tries: int = 2) -> Reply:
        """Send; after a 429, 503, 504, time-out or broken connection once more, the very same request.

        Whether a retry carries a new token is not documented.
        """
        begun, attempts = self._clock(), 0
        while attempts < tries:
            status, error, content_type, body = self._send_once(request, timeout)
            attempts += 1
            if status is not None and status not in RETRIED:
                break
        return Reply(status, error, begun, self._clock(), attempts, content_type, body)

    def _send_once(self, request: Request, timeout: tuple[float, float]) -> tuple[int | None, str | None, str, bytes]:
        try:
            with self._session.request(
                request.method,
                request.url,
                data=request.body,
                headers=dict(request.headers),
                timeout=timeout,
                allow_redirects=False,
                stream=True,
            ) as reply:
                body = reply.raw.read(MAX_REPLY, decode_content=True)
                return reply.status_code, None, reply.headers.get("Content-Type", ""), body
        except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
            return None, f"{type(error).__name__}: {error}", "", b""


def query_string(payload: Mapping[str, Any]) -> str:
    """An event as Vonage puts it into a GET: nested values as JSON text, the recording's URL unencoded.

    Seen in a capture kept by the PHP SDK: `...&recording_url=https://api.nexmo.com/v1/files/...&size=18990`.
    https://github.com/Vonage/vonage-php-sdk-core/tree/main/test/Voice/requests
    """
    pairs = []
    for name, value in payload.items():
        plain = value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))
        pairs.append(f"{quote(name, safe='')}={quote(plain, safe=':/?=' if name == 'recording_url' else '')}")
    return "&".join(pairs)
