"""`/recordings/<id>`: one recording: its player, the call's facts, its copies, its life, and the order to try again."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any

from flask import Blueprint, flash, redirect, render_template, url_for
from flask.typing import ResponseReturnValue

from console.access import current_actor, require
from console.lookups import recording_in
from recordings.access import Action, Role
from recordings.catalogue.inbox import StoredDelivery
from recordings.catalogue.search import RecordingRow
from recordings.model import Recording, State
from recordings.timeouts import TimeLimit

from .links import Links
from .parts import ROW, Parts
from .probe import probe
from .timeline import timeline
from .wording import MOVING, readable

_LOOK = TimeLimit(0.7)  # seconds: a page is there within one, whatever its storages do
_MOST_EVENTS = 10
_IDLE = (State.PENDING, State.WAITING, State.BLOCKED, State.FAILED)


def add_routes(blueprint: Blueprint, parts: Parts, links: Links, *, look: TimeLimit = _LOOK) -> None:
    """The page of a recording. `look` limits the wait for its storages."""

    @blueprint.get(f"/recordings/{ROW}")
    def recording(row_id: int) -> ResponseReturnValue:
        row = recording_in(parts, row_id)
        who_heard = links.sealed("pages.activity", {"recording": row.recording.recording_uuid})
        return render_template("pages/recording.html", **_shown(parts, row, look), who_heard=who_heard)

    @blueprint.post(f"/recordings/{ROW}/retry")
    @require(Role.OPERATOR)
    def retry(row_id: int) -> ResponseReturnValue:
        row = recording_in(parts, row_id)
        parts.people.audit.note(current_actor(), Action.RETRY, recording_id=row_id)
        flash(_result(len(parts.schedule.retry(row.recording.recording_uuid))))
        return redirect(url_for(".recording", row_id=row_id), 303)


def _result(number: int) -> str:
    if not number:
        return "There was nothing to try again: each copy is stored or being fetched."
    return f"{number} {'copy is' if number == 1 else 'copies are'} due now; a running worker begins within seconds."


def _shown(parts: Parts, row: RecordingRow, look: TimeLimit) -> dict[str, Any]:
    recording, actor = row.recording, current_actor()
    is_operator = actor.may(Role.OPERATOR)
    faults = probe(recording, parts.storages, look)
    return {
        "row": row,
        "recording": recording,
        "faults": faults,
        "has_audio": any(copy.state is State.STORED and copy.storage not in faults for copy in recording.copies),
        "has_stored": any(copy.state is State.STORED for copy in recording.copies),
        "may_hear": actor.may(Role.LISTENER),
        "is_operator": is_operator,
        "events": timeline(parts, row, with_people=is_operator),
        "deliveries": list(_deliveries(parts, recording)) if is_operator else [],
        "is_moving": recording.state in MOVING,
        "idle": sum(copy.state in _IDLE for copy in recording.copies),
    }


def _deliveries(parts: Parts, recording: Recording) -> Iterator[tuple[StoredDelivery, str]]:
    """The webhooks that announced the recording, while they are kept, each with its body as people read it."""
    for stored in islice(parts.inbox.listing(recording_uuid=recording.recording_uuid), _MOST_EVENTS):
        if stored.delivery.application_id == recording.application_id:
            yield stored, readable(parts.inbox.find(stored.id).delivery.body)
