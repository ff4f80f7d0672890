"""Webhooks with a fake catalogue, and a signer of our own: the verifier must not be tested with itself."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from dataclasses import dataclass, field

import pytest
from flask import Flask

from recordings.background import BackgroundWriter
from recordings.engine.supervisor import Supervisor
from recordings.model import Accepted, Announcement, Call, Delivery
from webhooks import FlowSettings, Verifier, WebhookContext, create_blueprint
from webhooks.refused import RefusedDeliveries

NOW = 1_700_000_000
SECRET = "old and short"
NEW_SECRET = "a newer secret, long enough for everybody's taste"


def segment(value):
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()


def sign(payload: bytes, secret=SECRET, header=None, without=(), **claims):
    """The value of an Authorization header for these signed bytes. `without` leaves claims out."""
    every = {
        "iat": NOW,
        "jti": "c5ba8f24-1a14-4c10-bfdf-3fbe8ce511b5",
        "iss": "Vonage",
        "payload_hash": hashlib.sha256(payload).hexdigest(),
        "api_key": "a1b2c3d",
        "application_id": "aaaaaaaa-bbbb-cccc-dddd-0123456789ab",
    } | claims
    chosen = {name: value for name, value in every.items() if name not in without}
    head = header if header is not None else {"alg": "HS256", "typ": "JWT"}
    message = f"{segment(json.dumps(head).encode())}.{segment(json.dumps(chosen).encode())}"
    return f"Bearer {message}.{segment(hmac.new(secret.encode(), message.encode(), hashlib.sha256).digest())}"


@dataclass
class FakeIntake:
    """A catalogue in lists. `broken` is raised by every method."""

    accepted: list = field(default_factory=list)
    unreadable: list = field(default_factory=list)
    calls: list = field(default_factory=list)
    broken: Exception | None = None
    outcome: str | None = None
    single_writer: bool = True

    def _check(self):
        if self.broken:
            raise self.broken

    def accept_all(self, arrivals, deadline=None):
        self._check()
        return [self._accept(*arrival) for arrival in arrivals]

    def _accept(self, delivery: Delivery, events):
        self.accepted.append((delivery, tuple(events)))
        fetchable = [event for event in events if isinstance(event, Announcement) and not event.empty]
        outcome = "new" if fetchable else "noted"
        return Accepted(self.outcome or outcome, tuple(range(1, len(fetchable) + 1)))

    def keep(self, delivery: Delivery, problem: str, deadline=None):
        self._check()
        self.unreadable.append((delivery, problem))

    def note_call(self, call: Call, application_id: str):
        self._check()
        self.calls.append((call, application_id))


def _writer(write, **options):
    """A background writer whose thread a supervisor of its own watches."""
    return BackgroundWriter("test-writer", write, Supervisor(pause=0.01).start, **options)


class House:
    """A Flask application with nothing but the webhooks. `client` sends as Vonage would.

    `keep_refused` is what refused deliveries are handed to; `changes` replace parts of the context.
    """

    def __init__(self, *, keep_refused=lambda delivery, token, problem, worth: None, **changes):
        self.intake = FakeIntake()
        parts = {
            "intake": self.intake,
            "verifier": Verifier((SECRET, NEW_SECRET), clock=lambda: NOW),
            "flows": FlowSettings("https://tapes.example", forward_to="447700900001", vonage_number="447700900000"),
            "application_id": "the-configured-one",
            "answer_call": lambda call: None,
            "call_notes": _writer(self.intake.note_call, loss="a call was answered but is not noted"),
            "refused": RefusedDeliveries(_writer(keep_refused, loss="a refused delivery is not kept")),
        }
        self.context = WebhookContext(**parts | changes)
        self.app = Flask("webhooks-alone")
        self.app.register_blueprint(create_blueprint(self.context))
        self.client = self.app.test_client()

    def post(self, path, body, *, signed=True, **more):
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        headers = {"Authorization": sign(data)} if signed else {}
        headers |= more.pop("headers", {})
        return self.client.post(f"/webhooks/{path}", data=data, headers=headers, **more)

    def get(self, path, parameters, *, query, signed=True):
        """`query` is sent as it stands; `parameters` is what the signature covers."""
        payload = json.dumps(parameters, separators=(",", ":"), ensure_ascii=False).encode()
        headers = {"Authorization": sign(payload)} if signed else {}
        raw = {"QUERY_STRING": query.encode().decode("latin-1")}  # as a server hands it on
        return self.client.get(f"/webhooks/{path}", headers=headers, environ_overrides=raw)

    @property
    def events(self):
        return [event for _, events in self.intake.accepted for event in events]

    def noted(self):
        assert self.context.call_notes.wait(10)
        return [call for call, _ in self.intake.calls]


@pytest.fixture
def house():
    built = House()
    yield built
    built.context.close()


@pytest.fixture
def make_house():
    """`make_house(**changes)`: a house whose context has these parts in place of the usual ones."""
    houses = []

    def make(**changes):
        houses.append(House(**changes))
        return houses[-1]

    yield make
    for house in houses:
        house.context.close()


@pytest.fixture
def background_writer():
    """`background_writer(write, loss=..., limit=...)`: a writer that is closed at the end of the test."""
    writers = []

    def make(write, loss="a call was answered but is not noted", **options):
        writers.append(_writer(write, loss=loss, **options))
        return writers[-1]

    yield make
    for writer in writers:
        writer.close()


@pytest.fixture(scope="session")
def signer():
    return sign
