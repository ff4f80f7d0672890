"""The event webhooks: read the request, verify it, parse it, commit it, reply. In that order, and nothing else.

An event that is not committed is lost for ever, because Vonage offers no way to ask for it again. So nothing but our
own database stands between the request and the commit, and what cannot be understood is kept as it came.
https://github.com/Vonage/vonage-dotnet-sdk/issues/628
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Sequence
from typing import Any

from flask import Request, Response

from recordings.catalogue.group_commit import GroupCommit
from recordings.errors import CatalogueUnavailable
from recordings.model import Accepted, Announcement, Delivery, Event
from recordings.timeouts import Deadline

from . import flows, replies
from .authentication import authenticate
from .context import Arrival, WebhookContext
from .payload import NotUnderstood, read_event
from .replies import Rejected
from .shapes import understand

log = logging.getLogger(__name__)

ACCEPTED = "tapekeeper.accepted"  # where `server.Worker` writes when the request began to arrive

_FLOW = re.compile(r"(?:^|&)flow=([a-z]+)(?:&|$)")


def deadline_of(request: Request) -> Deadline:
    """The request's deadline. It counts from when the request began to arrive, or from now where no server tells."""
    return Deadline(since=request.environ.get(ACCEPTED))


class Reception:
    """Takes events in. `deadline` makes the deadline of a request, for all that the request waits for.

    Where the database takes one writing transaction at a time, events that come at the same moment are committed
    together: a durable commit costs the same for many events as for one.
    """

    def __init__(self, context: WebhookContext, *, deadline: Callable[[Request], Deadline] = deadline_of) -> None:
        self._context = context
        self._deadline = deadline
        self._group_commit = GroupCommit[Arrival, Accepted](self._commit_all, CatalogueUnavailable)

    @property
    def waiting(self) -> int:
        """How many events wait for a group commit that has not begun."""
        return self._group_commit.waiting

    def receive(self, request: Request, route: str) -> Response:
        """Take one event in: 204 once it is committed. Raises `Rejected`, with a status of the package's docstring."""
        deadline = self._deadline(request)
        if not deadline.left():  # it waited for a thread
            raise _not_committed(route, CatalogueUnavailable("Too many events came at once."))
        delivery = authenticate(self._context, request, route)
        events = self._parse(delivery, deadline)
        self._commit(delivery, events, deadline)
        return replies.no_content()

    def _parse(self, delivery: Delivery, deadline: Deadline) -> tuple[Event, ...]:
        """The events in the delivery. Raises `Rejected` when there are none to understand, and keeps the delivery."""
        try:
            return parse_events(self._context.flows, delivery)
        except NotUnderstood as error:
            problem = str(error)
        self._keep(delivery, problem, deadline)
        log.warning("%s: not understood: %s", delivery.route, problem)
        hint = "The delivery is kept as it came, and the operator finds it with: flask deliveries list"
        raise Rejected(400, "not_understood", problem, hint)

    def _keep(self, delivery: Delivery, problem: str, deadline: Deadline) -> None:
        """Keep what is not understood: always when it is signed, and of unsigned ones as much as of refused ones."""
        if not delivery.signed:
            self._context.refused.add(delivery, f"Not signed, and not understood: {problem}")
            return
        try:
            self._context.intake.keep(delivery, problem, deadline)
        except CatalogueUnavailable as error:
            raise _not_committed(delivery.route, error) from error

    def _commit(self, delivery: Delivery, events: tuple[Event, ...], deadline: Deadline) -> None:
        """Commit the delivery and its events. Raises `Rejected` when that fails, or the deadline passes."""
        try:
            if self._context.intake.single_writer:
                self._group_commit.do((delivery, events), deadline)
            else:
                self._commit_all([(delivery, events)], deadline)
        except CatalogueUnavailable as error:
            raise _not_committed(delivery.route, error) from error

    def _commit_all(self, arrivals: Sequence[Arrival], deadline: Deadline) -> list[Accepted]:
        """Commit, and write the log lines of all: threads that each write a line at the same moment wait in turns."""
        all_accepted = self._context.intake.accept_all(arrivals, deadline)
        for (delivery, events), accepted in zip(arrivals, all_accepted, strict=True):
            _log(delivery.route, events, accepted)
        return all_accepted


def parse_events(settings: flows.FlowSettings, delivery: Delivery) -> tuple[Event, ...]:
    """The events in a delivery. Raises `NotUnderstood`."""
    payload = read_event(delivery.method, delivery.query, delivery.body)
    return understand(payload, delivery.route, _from_our_url(settings, delivery.query))


def _from_our_url(settings: flows.FlowSettings, query: str) -> dict[str, Any]:
    """What our own eventUrl says of the recording: `flow`, `format` and `channels`, or nothing.

    The signature of a POST does not cover the query, so only the names of our flows are believed.
    """
    match = _FLOW.search(query)
    if not match or match[1] not in flows.FLOWS:
        return {}
    audio_format, channels = flows.expected(settings, match[1])
    return {"flow": match[1], "format": audio_format, "channels": channels}


def _not_committed(route: str, error: CatalogueUnavailable) -> Rejected:
    """503, after which Vonage sends the event again; after a 500 it does not.

    https://api.support.vonage.com/hc/en-us/articles/115016024247
    """
    log.error("%s: not committed, Vonage is asked to send it again: %s", route, error)
    hint = "Send it again. The operator sees the reason in the log; see also /readyz."
    return Rejected(503, "catalogue_unavailable", "The event cannot be committed right now.", hint)


def _log(route: str, events: Sequence[Event], accepted: Accepted) -> None:
    level = logging.WARNING if accepted.outcome == "conflict" else logging.INFO
    for event in events:
        if isinstance(event, Announcement):
            what = "empty recording" if event.empty else "recording"
            log.log(level, "%s: %s %s: %s", route, what, event.recording_uuid, accepted.outcome)
        else:
            log.info("%s: %s noted", route, getattr(event, "kind", "transcription"))
