"""The event webhooks: verify, understand, commit, dispatch, 204. In that order, and nothing else.

An event that is not committed is lost for ever: Vonage offers no way to ask for it again. So nothing stands between the
request and the commit but our own database, and whatever cannot be understood is kept as it came.
https://github.com/Vonage/vonage-dotnet-sdk/issues/628
"""

from __future__ import annotations

import logging
import re
from typing import Any

from flask import Request, Response

from recordings.model import Accepted, Announcement, CatalogueUnavailable, Delivery, Event

from . import flows
from .door import Door, admit
from .payload import NotUnderstood, read_event
from .replies import Refusal
from .shapes import understand

log = logging.getLogger(__name__)

_FLOW = re.compile(r"(?:^|&)flow=([a-z]+)(?:&|$)")


def receive(door: Door, request: Request, route: str) -> Response:
    """Take one event in. 204 once it is committed; the refusals are listed in the package's docstring."""
    delivery = admit(door, request, route)
    try:
        happened = read(door.flows, delivery)
    except NotUnderstood as problem:
        raise _kept(door, delivery, str(problem)) from None
    try:
        accepted = door.intake.accept(delivery, happened)
    except CatalogueUnavailable as error:
        raise _not_now(route, error) from None
    _log(route, happened, accepted)
    _dispatch(door, accepted)
    # Empty on purpose: on shared event URLs a body that looks like an NCCO could replace the call's flow.
    reply = Response(status=204)
    del reply.headers["Content-Type"]
    return reply


def read(settings: flows.FlowSettings, delivery: Delivery) -> tuple[Event, ...]:
    """The events in a delivery. Raises `NotUnderstood`."""
    payload = read_event(delivery.method, delivery.query, delivery.body)
    return understand(payload, delivery.route, _told(settings, delivery.query))


def _told(settings: flows.FlowSettings, query: str) -> dict[str, Any]:
    """What our own eventUrl says of the recording. A query is never signed on a POST: only known flows are believed."""
    found = _FLOW.search(query)
    if not found or found[1] not in flows.FLOWS:
        return {}
    audio_format, channels = flows.expected(settings, found[1])
    return {"flow": found[1], "format": audio_format, "channels": channels}


def _kept(door: Door, delivery: Delivery, problem: str) -> Refusal:
    try:
        door.intake.keep(delivery, problem)
    except CatalogueUnavailable as error:
        return _not_now(delivery.route, error)
    log.warning("%s: not understood, kept raw: %s", delivery.route, problem)
    hint = "Nothing is lost: the delivery is kept as it came and shown in the console."
    return Refusal(400, "not_understood", problem, hint)


def _not_now(route: str, error: CatalogueUnavailable) -> Refusal:
    """503, which Vonage tries again; a 500 it does not. https://api.support.vonage.com/hc/en-us/articles/115016024247"""
    log.error("%s: not committed, Vonage is asked to send it again: %s", route, error)
    hint = "Send it again. The operator sees the reason in the log; see also /readyz."
    return Refusal(503, "catalogue_unavailable", "The event cannot be committed right now.", hint)


def _log(route: str, happened: tuple[Event, ...], accepted: Accepted) -> None:
    level = logging.WARNING if accepted.outcome == "conflict" else logging.INFO
    for event in happened:
        if isinstance(event, Announcement):
            what = "empty recording" if event.empty else "recording"
            log.log(level, "%s: %s %s: %s", route, what, event.recording_uuid, accepted.outcome)
        else:
            log.info("%s: %s noted", route, getattr(event, "kind", "transcription"))


def _dispatch(door: Door, accepted: Accepted) -> None:
    for copy_id in accepted.copy_ids:
        try:
            door.dispatch(copy_id)
        except Exception:  # whatever the engine's storage raises: the event is committed, the sweep finds the copy
            log.exception("copy %d is not dispatched; the next sweep takes it up", copy_id)
