"""`/api/deliveries`: what Vonage sent, as it came, and what was refused; one may be taken in once more.

The raw words of a delivery are for operators alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flask import abort
from marshmallow import Schema, fields

from console.access import current_actor
from console.lookups import delivery_in, note_order
from console.parts import Parts
from recordings.access import Action, Role
from recordings.care.replays import replay_each
from recordings.catalogue.as_json import delivery_as_json_object
from recordings.catalogue.inbox import OUTCOMES, StoredDelivery
from recordings.catalogue.inbox_pages import DeliveryPage as Page
from recordings.catalogue.inbox_pages import delivery_page
from recordings.clock import iso_utc
from recordings.masking import masked

from .fields import choice, flag, limit, moment, row, row_cursor, short_text, since, text, whole
from .operations import Resource, needs, with_etag

_ROW = row("delivery_id")


class DeliveryQuery(Schema):
    """The parameters of the list."""

    outcome = choice("With this outcome.", *OUTCOMES)
    since = since()
    recording_uuid = short_text("That announced this recording.", most=255)
    cursor = row_cursor()
    limit = limit()


class DeliveryAnswer(Schema):
    """A webhook request that Vonage, or somebody else, sent."""

    id = whole("The number that the addresses of this API hold.")
    received_at = moment("When it came.")
    route = text("The webhook that it came to.")
    outcome = text("What became of it.", enum=list(OUTCOMES))
    problem = text("Why it could not be used.", none=True)
    recording_uuid = text("The recording that it announced.", none=True)
    method = text("GET or POST.")
    query = text("What stood in its address, with secrets masked; null for a role below operator.", none=True)
    content_type = text("Of its body.")
    signed = flag("Whether its signature was good.")
    jti = text("The id of its signature's token.", none=True)
    application_id = text("The Vonage application that signed it.")
    body_size = whole("Bytes.")


class WholeDeliveryAnswer(DeliveryAnswer):
    """The same with its body."""

    body = text("As text, with secrets masked; null for a role below operator.", none=True)


class DeliveryPage(Schema):
    """Some deliveries, the newest first.

    A page looks only so far back that it is quick: it may be empty although `next_cursor` is there.
    """

    deliveries = fields.List(fields.Nested(DeliveryAnswer), required=True)
    next_cursor = whole("Gives the next page; null: nothing is left.", none=True)
    searched_to = moment("Everything since then was looked at; null: the page is full, or all was.", none=True)


class ReplayAnswer(Schema):
    """What a replay did."""

    before = text("The outcome until now.", enum=list(OUTCOMES))
    outcome = text("The outcome now.", enum=["new", "repeat", "conflict", "noted"])


def create_resource(parts: Parts) -> Resource:
    """The operations."""
    resource = Resource("Deliveries", "Webhooks as they came, also those that were refused.")

    @resource.route("/deliveries")
    @with_etag
    @needs(Role.VIEWER)
    @resource.arguments(DeliveryQuery, location="query")
    @resource.response(200, DeliveryPage)
    def list_deliveries(query: dict[str, Any]) -> Mapping[str, Any]:
        """The deliveries that are kept, newest first"""
        return _page(delivery_page(parts.database, before=query.pop("cursor", None), **query))

    @resource.route(f"/deliveries/{_ROW}")
    @with_etag
    @needs(Role.VIEWER)
    @resource.response(200, WholeDeliveryAnswer)
    def get_delivery(delivery_id: int) -> Mapping[str, Any]:
        """One delivery, with its body"""
        stored = delivery_in(parts, delivery_id)
        body = masked(stored.delivery.body.decode("utf-8", "replace"))
        return _as_answer(stored) | {"body": body if current_actor().may(Role.OPERATOR) else None}

    @resource.route(f"/deliveries/{_ROW}/replay", methods=["POST"])
    @needs(Role.OPERATOR)
    @resource.response(200, ReplayAnswer)
    @resource.alt_response(409, "CONFLICT")
    def replay_delivery(delivery_id: int) -> Mapping[str, Any]:
        """Take a delivery in once more, judged by the settings of today; 409 where it still cannot be used"""
        note_order(parts, delivery_in(parts, delivery_id), Action.REPLAY)
        return _replay(parts, delivery_id)

    return resource


def _page(page: Page) -> Mapping[str, Any]:
    return {
        "deliveries": [_as_answer(stored) for stored in page.rows],
        "next_cursor": page.before,
        "searched_to": iso_utc(page.searched_to) if page.searched_to else None,
    }


def _as_answer(stored: StoredDelivery) -> dict[str, Any]:
    query = masked(stored.delivery.query) if current_actor().may(Role.OPERATOR) else None
    return delivery_as_json_object(stored) | {"query": query}


def _replay(parts: Parts, delivery_id: int) -> Mapping[str, Any]:
    (attempt,) = replay_each(parts.inbox, [delivery_id], parts.interpreter)
    if attempt.problem:
        abort(409, attempt.problem)
    return {"before": attempt.before, "outcome": attempt.outcome}
