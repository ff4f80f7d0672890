"""What the webhooks need from the rest, and how a request comes in: read within bounds, then judged.

`admit` is the one way in for answers and events alike. No meaning is read here.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from flask import Request
from werkzeug.exceptions import RequestEntityTooLarge

from recordings.model import Accepted, Call, Delivery, Event

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
    """The catalogue, as the webhooks see it. All methods raise `CatalogueUnavailable` when they cannot commit."""

    def accept(self, delivery: Delivery, events: Sequence[Event]) -> Accepted:
        """Commit the delivery and what it told, in one transaction."""

    def keep(self, delivery: Delivery, problem: str) -> None:
        """Commit a delivery that could not be understood, with the reason."""

    def note_call(self, call: Call, application_id: str) -> None:
        """Remember a call that was answered."""


@dataclass(frozen=True)
class Door:
    """Everything behind the webhooks. `dispatch` hands one copy id to the engine, after the commit; it may raise.

    `answer_call` asks the plugins for an NCCO; it may raise, return anything, and hang: `patience` ends the waiting.
    `application_id` stands in where the signature names none. `notes` writes calls down in the background:
    `notes.wait()` in tests, `notes.close()` at the end. `refused` hands events that were turned away to
    `keep_refused(delivery, token, problem)`, in the background.
    """

    intake: Intake
    dispatch: Callable[[int], None]
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


def admit(door: Door, request: Request, route: str) -> Delivery:
    """The request as a `Delivery`, when its signature lets it in. Raises `Refusal`, or Werkzeug's 413.

    HEAD counts as GET: Werkzeug routes it so.
    """
    body = _read(request)
    environ = request.environ
    query = clean_query(environ.get("QUERY_STRING", ""))
    method = "POST" if environ["REQUEST_METHOD"] == "POST" else "GET"
    verdict = door.verifier.check(method, request.headers, query, body)
    delivery = Delivery(
        route=route,
        method=method,
        query=query,
        content_type=_label(environ.get("CONTENT_TYPE", "")),
        body=body,
        application_id=verdict.application_id or door.application_id,
        signed=verdict.standing is Standing.VALID,
        jti=verdict.jti,
    )
    if verdict.standing is not Standing.VALID:
        _let_pass_or_refuse(door, verdict, delivery, request.headers.get("Authorization", ""))
    return delivery


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


def _let_pass_or_refuse(door: Door, verdict: Verdict, delivery: Delivery, token: str) -> None:
    """401 is final for Vonage; 503 brings the request back, which it asks for when a callback came unsigned.

    https://developer.vonage.com/en/getting-started/concepts/webhooks#validate-signed-webhooks
    """
    if verdict.standing is Standing.BAD:
        log.warning("%s: refused, bad signature: %s", delivery.route, verdict.reason)
        door.refused.add(delivery, token, f"Bad signature: {verdict.reason}.")
        hint = "Compare VONAGE_SIGNATURE_SECRET with the dashboard, and read the reason in this application's log."
        raise Refusal(401, "bad_signature", "The signature is not valid.", hint)
    if not door.verifier.allow_unsigned:
        log.warning("%s: refused, a signature is required: %s", delivery.route, verdict.reason)
        door.refused.add(delivery, token, f"A signature is required: {verdict.reason}.")
        hint = "Turn signed webhooks on for the application, or set ALLOW_UNSIGNED_WEBHOOKS=true."
        raise Refusal(503, "signature_required", "The request is not signed.", hint)


def _label(content_type: str) -> str:
    label = content_type[:255]
    return label if label.isascii() and label.isprintable() else ascii(label)[:255]
