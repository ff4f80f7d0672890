"""The event webhooks: verify, understand, commit, dispatch, 204. In that order, and nothing else.

An event that is not committed is lost for ever: Vonage offers no way to ask for it again. So nothing stands between the
request and the commit but our own database, and whatever cannot be understood is kept as it came.
https://github.com/Vonage/vonage-dotnet-sdk/issues/628
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from flask import Request, Response

from recordings.catalogue.group_commit import GroupCommit
from recordings.errors import CatalogueUnavailable
from recordings.model import Accepted, Announcement, Delivery, Event
from recordings.timeouts import Deadline

from . import flows
from .door import Door, Knock, judge, refuse, take
from .payload import NotUnderstood, read_event
from .replies import Refusal
from .shapes import understand

log = logging.getLogger(__name__)

# Makes a refusal, with all that it leads to. None: there is none, the event is committed.
_Refuse = Callable[[], Refusal]
_Outcome = _Refuse | None

_FLOW = re.compile(r"(?:^|&)flow=([a-z]+)(?:&|$)")


class Reception:
    """Takes events in, those that come at the same moment together.

    One thread then verifies, understands and commits for all, and writes their lines: the same step for many in a row
    costs less of the processor than all steps for each in turn, and a commit costs the same for many.
    """

    def __init__(self, door: Door) -> None:
        self._door = door
        self._together = GroupCommit[Knock, _Outcome](self._take_in, CatalogueUnavailable)

    def receive(self, request: Request, route: str) -> Response:
        """Take one event in. 204 once it is committed; the refusals are listed in the package's docstring."""
        knock = take(request, route)
        deadline = Deadline()
        gathers = self._door.intake.gathers
        outcome = self._together.do(knock, deadline) if gathers else self._take_in([knock], deadline)[0]
        if outcome is not None:
            raise outcome()
        # Empty on purpose: on shared event URLs a body that looks like an NCCO could replace the call's flow.
        reply = Response(status=204)
        del reply.headers["Content-Type"]
        return reply

    def _take_in(self, knocks: Sequence[Knock], deadline: Deadline) -> list[_Outcome]:
        """What became of each: None for one that is committed, else what makes its refusal, in its own thread."""
        outcomes = [self._understood(knock) for knock in knocks]
        arrivals = [one for one in outcomes if isinstance(one, tuple)]
        try:
            accepted = self._door.intake.accept_all(arrivals, deadline) if arrivals else []
        except CatalogueUnavailable as error:
            return [partial(_not_now, one[0].route, error) if isinstance(one, tuple) else one for one in outcomes]
        for (delivery, happened), what in zip(arrivals, accepted, strict=True):
            _log(delivery.route, happened, what)
        return [None if isinstance(one, tuple) else one for one in outcomes]

    def _understood(self, knock: Knock) -> tuple[Delivery, tuple[Event, ...]] | _Refuse:
        door = self._door
        delivery, verdict = judge(door, knock)
        if not door.passes(verdict):
            return partial(refuse, door, verdict, delivery, knock.authorization)
        try:
            return delivery, read(door.flows, delivery)
        except NotUnderstood as problem:
            return partial(_kept, door, delivery, str(problem))


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
