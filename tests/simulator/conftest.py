"""A pretend Vonage for each test, keys of two applications, and a small application that answers calls."""

from __future__ import annotations

import functools
import json
import time
import uuid
from dataclasses import dataclass, field
from typing import Any

import jwt
import pytest
import requests
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from simulator import PretendVonage, public_pem
from simulator.loopback import ServerThread
from tests.services.application import APPLICATION_ID

SECRET = "short secret"


@functools.cache
def make_private_key(name: str) -> str:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def make_token(key: str = "ours", **changes: Any) -> str:
    now = int(time.time())
    claims = {"application_id": APPLICATION_ID, "iat": now, "jti": str(uuid.uuid4()), "exp": now + 900, **changes}
    claims = {name: value for name, value in claims.items() if value is not None}
    return jwt.encode(claims, make_private_key(key), algorithm="RS256")


@pytest.fixture(scope="session")
def private_key():
    """PEM of a named key; the application's own is "ours"."""
    return make_private_key


@pytest.fixture(scope="session")
def application_token():
    """Makes a good RS256 token; a claim may be changed, or left out with None."""
    return make_token


@pytest.fixture(scope="session")
def application_id():
    return APPLICATION_ID


@pytest.fixture(scope="session")
def secret():
    return SECRET


@pytest.fixture
def vonage():
    with PretendVonage(APPLICATION_ID, public_pem(make_private_key("ours")), SECRET) as running:
        yield running


@pytest.fixture
def client():
    """A requests session that shows a good token and uses no proxy."""
    with requests.Session() as session:
        session.trust_env = False
        session.headers["Authorization"] = f"Bearer {make_token()}"
        yield session


@dataclass
class Heard:
    """One request as the application under test saw it."""

    method: str
    path: str
    query: str
    body: bytes
    authorization: str | None

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Application:
    """A stand-in for an application: answers what `answers` says for a path, 204 to everything else.

    An answer is a list of (status, content type, body), used one a request; the last one stays.
    """

    answers: dict[str, list[tuple[int, str, bytes]]] = field(default_factory=dict)
    heard: list[Heard] = field(default_factory=list)
    origin: str = ""

    def answer(self, path: str, *nccos: Any, status: int = 200) -> str:
        """Answer this path with these NCCOs in turn; the path's URL."""
        self.answers[path] = [(status, "application/json", json.dumps(ncco).encode()) for ncco in nccos]
        return self.origin + path

    def heard_at(self, path: str) -> list[Heard]:
        return [request for request in self.heard if request.path == path]

    def __call__(self, environ: dict[str, Any], start_response: Any) -> list[bytes]:
        length = int(environ.get("CONTENT_LENGTH") or 0)
        path = environ["PATH_INFO"]
        self.heard.append(
            Heard(
                environ["REQUEST_METHOD"],
                path,
                environ["QUERY_STRING"],
                environ["wsgi.input"].read(length),
                environ.get("HTTP_AUTHORIZATION"),
            )
        )
        planned = self.answers.get(path, [(204, "application/json", b"")])
        status, content_type, body = planned.pop(0) if len(planned) > 1 else planned[0]
        start_response(f"{status} X", [("Content-Type", content_type), ("Content-Length", str(len(body)))])
        return [body]


@pytest.fixture
def application():
    app = Application()
    with ServerThread(app) as server:
        app.origin = server.origin
        yield app
