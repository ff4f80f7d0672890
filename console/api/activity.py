"""`/api/activity`: the audit. Who listened, downloaded, exported or changed what, when and from where."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from marshmallow import Schema, fields, validate

from console.parts import Parts
from recordings.access import Action, Role
from recordings.catalogue.audit import Entry

from .fields import MAX_ID, Body, Whole, choice, limit, moment, name, since, text, until, whole
from .operations import Resource, needs, with_etag

_CURSOR = r"^[0-9]{8}T[0-9]{6}\.[0-9]{6}-[0-9]{1,18}$"


class _Conditions(Schema):
    """The conditions that hold no name. Entries that meet all that are given are chosen."""

    since = since("was done")
    until = until("was done")
    recording_id = Whole(
        validate=validate.Range(1, MAX_ID), metadata={"description": "What was done with this recording, by its `id`."}
    )
    action = choice("Only this action.", *Action)


class ActivityConditions(Body, _Conditions):
    """The whole filter, as JSON."""

    person = name("Only what this person, or the program with this token, did.")


class _Paging(Schema):
    """Which page of a list is wanted."""

    cursor = fields.String(
        validate=validate.Regexp(_CURSOR, error="Use next_cursor of the page before."),
        metadata={"description": "The `next_cursor` of the page before, with the same parameters."},
    )
    limit = limit()


class ActivityQuery(_Paging, _Conditions):
    """The parameters of the list. A person's name must not stand in an address: it goes into a search."""


class ActivitySearch(_Paging, ActivityConditions):
    """The same, and the person."""


class EntryAnswer(Schema):
    """One action."""

    at = moment("When.")
    person = text("Who: the name of an account or of a token.")
    kind = text("How the person was known.", enum=["account", "token", "proxy", "demo", "command"])
    address = text("From which IP address; null: at the command line.", none=True)
    action = text("What.", enum=[action.value for action in Action])
    recording_id = whole("The recording, by its `id`.", none=True)
    recording_uuid = text("The recording, by Vonage's id.", none=True)
    detail = text("More of it.")


class ActivityPage(Schema):
    """Some entries of the audit, the newest first."""

    entries = fields.List(fields.Nested(EntryAnswer), required=True)
    next_cursor = text("Gives the next page; null: nothing is left.", none=True)


def create_resource(parts: Parts) -> Resource:
    """The two operations."""
    resource = Resource("Activity", "The audit, to which entries are only added.")

    @resource.route("/activity")
    @with_etag
    @needs(Role.OPERATOR)
    @resource.arguments(ActivityQuery, location="query")
    @resource.response(200, ActivityPage)
    def list_activity(query: Mapping[str, Any]) -> Mapping[str, Any]:
        """Who did what, newest first"""
        return _page(parts, query)

    @resource.route("/activity/search", methods=["POST"])
    @needs(Role.OPERATOR)
    @resource.arguments(ActivitySearch)
    @resource.response(200, ActivityPage)
    def search_activity(body: Mapping[str, Any]) -> Mapping[str, Any]:
        """The same, also by person, whose name must not stand in an address"""
        return _page(parts, body)

    return resource


def _page(parts: Parts, given: Mapping[str, Any]) -> Mapping[str, Any]:
    page = parts.people.audit.search(**given)
    return {"entries": [_as_answer(entry) for entry in page.entries], "next_cursor": page.next_cursor}


def _as_answer(entry: Entry) -> Mapping[str, Any]:
    return entry.fields() | {"recording_id": entry.recording_id}
