"""How a request comes in: it is read within bounds, and its signature is verified. Its content is not read here.

Answers and events come in the same way: `authenticate`.
"""

from __future__ import annotations

import logging
from dataclasses import replace

from flask import Request
from werkzeug.exceptions import BadRequest, HTTPException, RequestEntityTooLarge

from recordings.model import Delivery

from .context import WebhookContext
from .payload import clean_query
from .replies import Rejected
from .signature import SignatureStatus, Verdict, Verifier
from .worth import worth_of

log = logging.getLogger(__name__)

MAX_BODY = 1024 * 1024  # bytes; real events have some hundreds


def authenticate(context: WebhookContext, request: Request, route: str) -> Delivery:
    """The request as a delivery whose signature is good enough. Raises `Rejected`, or Werkzeug's 413."""
    delivery, verdict = verify(context.verifier, context.application_id, read_request(request, route))
    if not context.verifier.accepts(verdict):
        raise _rejected(context, delivery, verdict)
    return delivery


def read_request(request: Request, route: str) -> Delivery:
    """The request as a delivery that nothing vouches for yet. Raises Werkzeug's 413 and 400.

    HEAD counts as GET, because Werkzeug routes it so.
    """
    body = _read_body(request)
    environ = request.environ
    return Delivery(
        route=route,
        method="POST" if environ["REQUEST_METHOD"] == "POST" else "GET",
        query=clean_query(environ.get("QUERY_STRING", "")),
        content_type=_printable(environ.get("CONTENT_TYPE", "")),
        body=body,
        authorization=environ.get("HTTP_AUTHORIZATION", ""),
    )


def verify(verifier: Verifier, application_id: str, delivery: Delivery) -> tuple[Delivery, Verdict]:
    """The delivery with what its signature proves. `application_id` stands where the signature names none."""
    headers = {"Authorization": delivery.authorization}
    verdict = verifier.check(delivery.method, headers, delivery.query, delivery.body)
    verified = replace(
        delivery,
        application_id=verdict.application_id or application_id,
        signed=verdict.status is SignatureStatus.VALID,
        jti=verdict.jti,
    )
    return verified, verdict


def _read_body(request: Request) -> bytes:
    """The whole body. Raises Werkzeug's 413 when it is larger than allowed, and its 400 when the client broke it off.

    Werkzeug cuts a chunked body at its limit without an error, also one that never ends: so one byte more is asked for.
    https://werkzeug.palletsprojects.com/en/stable/wsgi/#werkzeug.wsgi.LimitedStream
    """
    request.max_content_length = MAX_BODY + 1
    try:
        body = request.get_data(cache=False)
    except HTTPException:
        raise
    except Exception as error:  # each server has errors of its own for a chunk that is none
        log.warning("The body of a request cannot be read: %a", str(error)[:100])
        raise BadRequest from None
    if len(body) > MAX_BODY:
        raise RequestEntityTooLarge
    return body


def _rejected(context: WebhookContext, delivery: Delivery, verdict: Verdict) -> Rejected:
    """The error for a request whose signature is not good enough. The delivery is handed on to be kept.

    401 is final for Vonage. A webhook that came unsigned gets 503, as Vonage's documentation asks: it is sent again.
    https://developer.vonage.com/en/getting-started/concepts/webhooks#validate-signed-webhooks
    """
    worth = worth_of(context.verifier, delivery)
    if verdict.status is SignatureStatus.BAD:
        log.warning("%s: refused, bad signature: %s", delivery.route, verdict.reason)
        context.refused.add(delivery, f"Bad signature: {verdict.reason}.", worth)
        hint = "Compare VONAGE_SIGNATURE_SECRET with the dashboard, and read the reason in this application's log."
        return Rejected(401, "bad_signature", "The signature is not valid.", hint)
    log.warning("%s: refused, a signature is required: %s", delivery.route, verdict.reason)
    context.refused.add(delivery, f"A signature is required: {verdict.reason}.", worth)
    hint = "Turn signed webhooks on for the application, or set ALLOW_UNSIGNED_WEBHOOKS=true."
    return Rejected(503, "signature_required", "The request is not signed.", hint)


def _printable(content_type: str) -> str:
    """The content type as text that every database and log takes."""
    start = content_type[:255]
    return start if start.isascii() and start.isprintable() else ascii(start)[:255]
