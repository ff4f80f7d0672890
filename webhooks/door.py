"""What the webhooks need from the rest, and how a request comes in: read within bounds, then judged.

`take` and `judge` are the one way in, for answers (`admit`) and events alike. No meaning is read here.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from flask import Request
from werkzeug.exceptions import RequestEntityTooLarge

from recordings.model import Accepted, Call, Delivery, Event
from recordings.timeouts import Deadline

from .flows import FlowSettings
from .notes import Notebook
from .patience import Patience
from .payload import clean_query
from .refused import Keep, Refusals
from .replies import Refusal
from .signature import Standing, Verdict, Verifier

log = logging.getLogger(__name__)

MAX_BODY = 1024 * 1024  # bytes; real events have some hundreds


class Intake(Protocol):
    """The catalogue, as the webhooks see it. All methods raise `CatalogueUnavailable` when they cannot commit.

    `gathers`: whether it pays to bring several deliveries at once.
    """

    @property
    def gathers(self) -> bool: ...

    def accept_all(
        self, arrivals: Sequence[tuple[Delivery, Sequence[Event]]], deadline: Deadline | None = None
    ) -> list[Accepted]:
        """Commit these deliveries and what each told, in one transaction."""

    def keep(self, delivery: Delivery, problem: str, deadline: Deadline | None = None) -> None:
        """Commit a delivery that could not be understood, with the reason."""

    def note_call(self, call: Call, application_id: str) -> None:
        """Remember a call that was answered."""


@dataclass(frozen=True)
class Door:
    """Everything behind the webhooks.

    `answer_call` asks the plugins for an NCCO; it may raise, return anything, and hang: `patience` ends the waiting.
    `application_id` stands in where the signature names none. `notes` writes calls down in the background:
    `notes.wait()` in tests, `notes.close()` at the end. `refused` hands events that were turned away to
    `keep_refused(delivery, token, problem)`, in the background.
    """

    intake: Intake
    verifier: Verifier
    flows: FlowSettings
    application_id: str
    answer_call: Callable[[Call], Any]
    keep_refused: Keep | None = None
    patience: Patience = field(default_factory=Patience, repr=False, compare=False)
    notes: Notebook = field(init=False, repr=False, compare=False)
    refused: Refusals = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "notes", Notebook(self.intake.note_call))
        object.__setattr__(self, "refused", Refusals(self.keep_refused))

    def passes(self, verdict: Verdict) -> bool:
        """Whether this proof is enough: a bad signature never is, none at all may be."""
        unsigned = verdict.standing is Standing.UNSIGNED and self.verifier.allow_unsigned
        return verdict.standing is Standing.VALID or unsigned


@dataclass(frozen=True, slots=True)
class Knock:
    """A request as it came, read within bounds; nothing of it is believed yet. `method` is GET or POST."""

    route: str
    method: str
    query: str
    content_type: str
    body: bytes
    authorization: str = field(repr=False)


def admit(door: Door, request: Request, route: str) -> Delivery:
    """The request as a `Delivery`, when its signature lets it in. Raises `Refusal`, or Werkzeug's 413."""
    knock = take(request, route)
    delivery, verdict = judge(door, knock)
    if not door.passes(verdict):
        raise refuse(door, verdict, delivery, knock.authorization)
    return delivery


def take(request: Request, route: str) -> Knock:
    """Read the request. Raises Werkzeug's 413. HEAD counts as GET: Werkzeug routes it so."""
    body = _read(request)
    environ = request.environ
    return Knock(
        route=route,
        method="POST" if environ["REQUEST_METHOD"] == "POST" else "GET",
        query=clean_query(environ.get("QUERY_STRING", "")),
        content_type=_label(environ.get("CONTENT_TYPE", "")),
        body=body,
        authorization=environ.get("HTTP_AUTHORIZATION", ""),
    )


def judge(door: Door, knock: Knock) -> tuple[Delivery, Verdict]:
    """What its signature proves. Pure: several may be judged in any thread."""
    headers = {"Authorization": knock.authorization}
    verdict = door.verifier.check(knock.method, headers, knock.query, knock.body)
    delivery = Delivery(
        route=knock.route,
        method=knock.method,
        query=knock.query,
        content_type=knock.content_type,
        body=knock.body,
        application_id=verdict.application_id or door.application_id,
        signed=verdict.standing is Standing.VALID,
        jti=verdict.jti,
    )
    return delivery, verdict


def _read(request: Request) -> bytes:
    """The whole body, 413 when it is larger than allowed.

    One byte more is asked for: Werkzeug cuts a chunked body at its limit in silence, which also ends one without end.
    https://werkzeug.palletsprojects.com/en/stable/wsgi/#werkzeug.wsgi.LimitedStream
    """
    request.max_content_length = MAX_BODY + 1
    body = request.get_data(cache=False)
    if len(body) > MAX_BODY:
        raise RequestEntityTooLarge
    return body


def refuse(door: Door, verdict: Verdict, delivery: Delivery, token: str) -> Refusal:
    """The refusal of a request that does not pass, which is logged and handed on to be kept.

    401 is final for Vonage; 503 brings the request back, which it asks for when a callback came unsigned.
    https://developer.vonage.com/en/getting-started/concepts/webhooks#validate-signed-webhooks
    """
    if verdict.standing is Standing.BAD:
        log.warning("%s: refused, bad signature: %s", delivery.route, verdict.reason)
        door.refused.add(delivery, token, f"Bad signature: {verdict.reason}.")
        hint = "Compare VONAGE_SIGNATURE_SECRET with the dashboard, and read the reason in this application's log."
        return Refusal(401, "bad_signature", "The signature is not valid.", hint)
    log.warning("%s: refused, a signature is required: %s", delivery.route, verdict.reason)
    door.refused.add(delivery, token, f"A signature is required: {verdict.reason}.")
    hint = "Turn signed webhooks on for the application, or set ALLOW_UNSIGNED_WEBHOOKS=true."
    return Refusal(503, "signature_required", "The request is not signed.", hint)


def _label(content_type: str) -> str:
    label = content_type[:255]
    return label if label.isascii() and label.isprintable() else ascii(label)[:255]
