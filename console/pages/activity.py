"""`/activity`: the audit. Who heard, fetched and changed what, when and from where; and the same as a file.

It says what the people of this console do, so it is for operators. A search comes by POST: see `links`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flask import Blueprint, redirect, render_template, request
from flask.typing import ResponseReturnValue

from console.access import current_actor, require
from console.exports import Exports
from recordings.access import Action, Role
from recordings.catalogue.audit import as_csv, export_detail
from recordings.catalogue.audit_query import QUERY_FIELDS, audit_conditions
from recordings.errors import InvalidInput

from .links import Links
from .parts import Parts

_LIST = "pages.activity"
_ROWS = 50


def add_routes(blueprint: Blueprint, parts: Parts, links: Links, exports: Exports) -> None:
    """The list, its form, and the export."""

    @blueprint.get("/activity")
    @require(Role.OPERATOR)
    def activity() -> ResponseReturnValue:
        place = links.opened(request.args, _LIST)
        return render_template("pages/activity.html", **_listed(parts, links, place))

    @blueprint.post("/activity")
    @require(Role.OPERATOR)
    def find_activity() -> ResponseReturnValue:
        fields = _fields()
        try:
            audit_conditions(parts.database, fields)
        except InvalidInput as error:
            return render_template("pages/activity.html", given=fields, problem=str(error), actions=list(Action)), 400
        return redirect(links.sealed(_LIST, {name: text for name, text in fields.items() if text.strip()}), 303)

    @blueprint.post("/activity/export")
    @require(Role.OPERATOR)
    def export_activity() -> ResponseReturnValue:
        audit, conditions = parts.people.audit, audit_conditions(parts.database, _fields())
        return exports.answer(
            lambda: audit.note(current_actor(), Action.EXPORT, detail=export_detail(conditions)),
            lambda: as_csv(audit.entries(**conditions)),
            file_name="activity.csv",
            content_type="text/csv; charset=utf-8",
        )


def _fields() -> dict[str, str]:
    return {name: text for name, text in request.form.items() if name != "csrf_token"}


def _listed(parts: Parts, links: Links, place: Mapping[str, Any]) -> dict[str, Any]:
    given = {name: text for name, text in place.items() if name in QUERY_FIELDS}
    conditions = audit_conditions(parts.database, given)
    page = parts.people.audit.search(**conditions, cursor=place.get("cursor"), limit=_ROWS)
    return {
        "page": page,
        "given": given,
        "actions": list(Action),
        "first_link": links.sealed(_LIST, given) if "cursor" in place else None,
        "next_link": links.sealed(_LIST, {**given, "cursor": page.next_cursor}) if page.next_cursor else None,
    }
