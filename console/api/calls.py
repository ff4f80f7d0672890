"""`/api/calls/missing`: the calls that were told to record and brought no recording."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from marshmallow import Schema, fields

from recordings.access import Role

from .fields import limit, moment, row_cursor, since, text, whole
from .operations import Resource, needs, with_etag
from .parts import Parts


class MissingQuery(Schema):
    """The parameters of the list."""

    since = since("was found missing")
    cursor = row_cursor()
    limit = limit()


CallAnswer: Any = Schema.from_dict(
    {
        "conversation_uuid": text("Vonage's id of the call.", none=True),
        "uuid": text("Vonage's id of its leg.", none=True),
        "from": text("The caller's number.", none=True),
        "to": text("The number called.", none=True),
        "direction": text("Of the call.", none=True),
        "flow": text("The call flow.", none=True),
        "application_id": text("The Vonage application."),
        "region_url": text("Where Vonage keeps what belongs to the call.", none=True),
        "answered_at": moment("When somebody picked up.", none=True),
        "completed_at": moment("When it ended.", none=True),
        "seconds": whole("Between the two.", none=True),
        "missing_since": moment("When the recording was found missing.", none=True),
    },
    name="MissingCall",
)


class CallPage(Schema):
    """Some of the calls, the newest first."""

    calls = fields.List(fields.Nested(CallAnswer), required=True)
    next_cursor = whole("Gives the next page; null: nothing is left.", none=True)


def create_resource(parts: Parts) -> Resource:
    """The one operation."""
    resource = Resource("Calls", "Calls whose recording never came.")

    @resource.route("/calls/missing")
    @with_etag
    @needs(Role.VIEWER)
    @resource.arguments(MissingQuery, location="query")
    @resource.response(200, CallPage)
    def list_missing_calls(query: Mapping[str, Any]) -> Mapping[str, Any]:
        """The calls that lack their recording now, newest first"""
        page = parts.missing.page(since=query.get("since"), before=query.get("cursor"), limit=query["limit"])
        return {"calls": [dict(call.params) for call in page.calls], "next_cursor": page.next_before}

    return resource
