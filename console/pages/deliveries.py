"""`/deliveries`: what Vonage sent, as it came, also what was refused; one of it; taken in once more, or adopted.

The raw words of a delivery are for operators alone. What a replay or an adoption does is decided in `recordings`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from flask import Blueprint, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from console.access import current_actor, require
from console.lookups import delivery_in, note_order
from recordings.access import Action, Role
from recordings.care.replays import Attempt, adopt_each, replay_each
from recordings.catalogue.inbox import OUTCOMES, Inbox, Interpret
from recordings.catalogue.inbox_pages import delivery_page
from recordings.errors import InvalidInput

from .links import Links
from .parts import ROW, Parts
from .wording import readable

_LIST = "pages.deliveries"
_PLACE = frozenset(("outcome", "before"))

Order = Callable[[Inbox, Iterable[int], Interpret], Iterator[Attempt]]


def add_routes(blueprint: Blueprint, parts: Parts, links: Links) -> None:
    """The list, one delivery, and the two orders for it."""

    @blueprint.get("/deliveries")
    def deliveries() -> ResponseReturnValue:
        return render_template("pages/deliveries.html", **_listed(parts, links, links.opened(request.args, _LIST)))

    @blueprint.get(f"/deliveries/{ROW}")
    def delivery(row_id: int) -> ResponseReturnValue:
        return render_template("pages/delivery.html", **_shown(parts, row_id))

    @blueprint.post(f"/deliveries/{ROW}/replay")
    @require(Role.OPERATOR)
    def replay(row_id: int) -> ResponseReturnValue:
        return _ordered(parts, row_id, Action.REPLAY, replay_each)

    @blueprint.post(f"/deliveries/{ROW}/adopt")
    @require(Role.OPERATOR)
    def adopt(row_id: int) -> ResponseReturnValue:
        return _ordered(parts, row_id, Action.ADOPT, adopt_each)


def _listed(parts: Parts, links: Links, place: dict[str, Any]) -> dict[str, Any]:
    if set(place) - _PLACE:
        raise InvalidInput("This link was made by another Tapekeeper. Open the deliveries from the top of the page.")
    page = delivery_page(parts.database, outcome=place.get("outcome"), before=place.get("before"))
    outcome = place.get("outcome")
    return {
        "page": page,
        "outcome": outcome,
        "outcomes": [(name, links.sealed(_LIST, {"outcome": name})) for name in OUTCOMES],
        "first_link": links.sealed(_LIST, {"outcome": outcome}) if "before" in place else None,
        "next_link": links.sealed(_LIST, {"outcome": outcome, "before": page.before}) if page.before else None,
    }


def _shown(parts: Parts, row_id: int, problem: str = "") -> dict[str, Any]:
    stored = delivery_in(parts, row_id)
    is_operator = current_actor().may(Role.OPERATOR)
    return {
        "stored": stored,
        "problem": problem,
        "is_operator": is_operator,
        "is_adoptable": is_operator and parts.inbox.is_adoptable(stored),
        "body": readable(stored.delivery.body) if is_operator else "",
        "query": readable(stored.delivery.query.encode()) if is_operator else "",
        "events": parts.inbox.events_of(row_id),
    }


def _ordered(parts: Parts, row_id: int, action: Action, order: Order) -> ResponseReturnValue:
    stored = delivery_in(parts, row_id)
    note_order(parts, stored, action)
    (attempt,) = order(parts.inbox, [row_id], parts.interpreter)
    if attempt.problem:
        return render_template("pages/delivery.html", **_shown(parts, row_id, attempt.problem)), 409
    flash(f"The outcome of this delivery was {attempt.before}; now it is {attempt.outcome}.")
    return redirect(url_for(".delivery", row_id=row_id), 303)
