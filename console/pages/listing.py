"""`/recordings`: the list of recordings, newest first, with its search.

A search comes by POST and is answered with a link that nobody can read: see `links`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

from flask import Blueprint, redirect, render_template, request
from flask.typing import ResponseReturnValue

from console.access import current_actor
from recordings.access import Role
from recordings.catalogue.search import InvalidFilter, Page, RecordingFilter, filter_fields, parse_filter, search
from recordings.errors import InvalidInput
from recordings.model import State

from .links import EVERYTHING, STALE, Links, Place
from .parts import Parts
from .wording import MOVING, state_word

_ROWS = 50
_HOW = {"exact": "is", "prefix": "starts with", "suffix": "ends with"}
_LABELS = {
    "storage": "Storage",
    "flow": "Flow",
    "direction": "Direction",
    "conversation": "Conversation",
    "recording_uuid": "Recording",
    "format": "Format",
    "application": "Application",
}


def add_routes(blueprint: Blueprint, parts: Parts, links: Links, *, public_url: str) -> None:
    """The list, and its form."""

    @blueprint.get("/recordings")
    def recordings() -> ResponseReturnValue:
        place = links.read(request.args)
        shown = _form(parts, _form_fields(place.filter)) | _shown(_page(parts, place, links), place, links)
        return render_template("pages/recordings.html", **shown, public_url=public_url)

    @blueprint.post("/recordings")
    def find() -> ResponseReturnValue:
        fields = {name: text for name, text in request.form.items() if name != "csrf_token"}
        try:
            return redirect(links.to_filter(parse_filter(fields)), 303)
        except InvalidInput as error:
            return render_template("pages/recordings.html", **_form(parts, fields), problem=str(error)), 400


def _page(parts: Parts, place: Place, links: Links) -> Page:
    try:
        return search(parts.database, place.filter, cursor=place.cursor, limit=_ROWS, secret=links.secret)
    except InvalidFilter:  # the cursor of a former version
        raise InvalidInput(STALE) from None


def _form(parts: Parts, given: Mapping[str, str]) -> dict[str, Any]:
    return {"given": given, "states": list(State), "storages": list(parts.storages), "ways": _HOW}


def _form_fields(filter: RecordingFilter) -> dict[str, str]:
    """What the form shows of a filter: of its range the first and the last day."""
    fields = filter_fields(filter)
    if filter.since:
        fields["since"] = filter.since.date().isoformat()
    if filter.until:
        fields["until"] = _last_day(filter)
    return fields


def _last_day(filter: RecordingFilter) -> str:
    """The day of the last moment that belongs to the range, whose end does not."""
    return (filter.until - timedelta(microseconds=1)).date().isoformat() if filter.until else ""


def _shown(page: Page, place: Place, links: Links) -> dict[str, Any]:
    last = place.before + len(page.rows)
    after = Place(place.filter, page.next_cursor, last)
    return {
        "page": page,
        "may_hear": current_actor().may(Role.LISTENER),
        "is_moving": any(row.recording.state in MOVING for row in page.rows),
        "first": place.before + 1,
        "last": last,
        "chosen": [(sentence, links.to_filter(without)) for sentence, without in conditions(place.filter)],
        "everything": place.filter == EVERYTHING,
        "first_link": links.to_filter(place.filter) if place.cursor else None,
        "next_link": links.to(after) if page.next_cursor else None,
        "with_empty_link": links.to_filter(replace(place.filter, with_empty=True)),
    }


def conditions(filter: RecordingFilter) -> list[tuple[str, RecordingFilter]]:
    """The conditions of a filter as people read them, each with the filter that is left without it."""
    shown: list[tuple[str, RecordingFilter]] = []
    if filter.states:
        state_names = ", ".join(map(state_word, filter.states))
        shown.append((f"State: {state_names}", replace(filter, states=())))
    if filter.number:
        sentence = f"Number {_HOW[filter.number_match]} {filter.number}"
        shown.append((sentence, replace(filter, number=None, number_match="exact")))
    if filter.since:
        shown.append((f"From {filter.since.date().isoformat()}", replace(filter, since=None)))
    if filter.until:
        shown.append((f"Until {_last_day(filter)}", replace(filter, until=None)))
    if filter.min_seconds is not None:
        shown.append((f"At least {filter.min_seconds:g} s", replace(filter, min_seconds=None)))
    for name, label in _LABELS.items():
        if value := getattr(filter, name):
            without: Any = {name: None}
            shown.append((f"{label}: {value}", replace(filter, **without)))
    if filter.has_transcript is not None:
        sentence = "With a transcript" if filter.has_transcript else "Without a transcript"
        shown.append((sentence, replace(filter, has_transcript=None)))
    if filter.with_empty:
        shown.append(("Also those without audio", replace(filter, with_empty=False)))
    return shown
