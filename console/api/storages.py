"""`/api/storages` and `/api/figures`: where recordings lie, how many there are, and what needs attention."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from marshmallow import Schema, fields

from console.access import current_actor
from console.parts import Parts
from recordings.access import Role
from recordings.care.readiness import Readiness, Report
from recordings.catalogue.stats import Totals, totals
from recordings.catalogue.troubles import Trouble, Troubles
from recordings.clock import iso_utc
from recordings.model import COPY_STATES, State

from .fields import flag, moment, number, rows, text, whole
from .operations import Resource, needs

_FOR_OPERATORS = "An operator sees why, and so does whoever reads the log."

_Copies: Any = Schema.from_dict({state.value: whole("Copies in this state.") for state in COPY_STATES}, name="Copies")


class StorageAnswer(Schema):
    """One storage."""

    storage = text("Its address.")
    configured = flag("Whether it is in STORAGE_URL now. A former one is listed while copies are in it.")
    usable = fields.Boolean(
        required=True,
        allow_none=True,
        metadata={"description": "Whether it could be used at the last look; null: it was not looked at."},
    )
    problem = text("What is wrong with it, or may soon be.", none=True)
    copies = fields.Nested(_Copies, required=True)
    stored_bytes = whole("Bytes of the stored copies.")


class StoragesAnswer(Schema):
    """All storages, the configured ones first."""

    storages = rows(StorageAnswer)
    age_seconds = number("How long ago the copies were counted.")


_Troubles: Any = Schema.from_dict(
    {
        Trouble.IDLE.value: whole("Copies that wait while no worker lives."),
        Trouble.NEARING.value: whole("Copies that are not stored, and Vonage deletes the recording within three days."),
        Trouble.BLOCKED.value: whole("Copies that only a person can mend."),
        Trouble.FAILED.value: whole("Copies that are not tried again by themselves."),
        Trouble.MISSING.value: whole("Calls of the last 30 days that lack their recording."),
    },
    name="Troubles",
)


class DeletionAnswer(Schema):
    """The recording that Vonage deletes next while a copy of it is not stored."""

    id = whole("The recording.")
    at = moment("When Vonage deletes it.")


class FiguresAnswer(Schema):
    """The archive in numbers. Each trouble is counted up to 10,001."""

    recordings = whole("Recordings that were announced.")
    copies = fields.Nested(_Copies, required=True)
    stored_bytes = whole("Bytes of the stored copies.")
    age_seconds = number("How long ago all this was counted; what follows is of now.")
    troubles = fields.Nested(_Troubles, required=True)
    next_deletion = fields.Nested(DeletionAnswer, required=True, allow_none=True)
    workers = whole("Workers that were seen within the last minute.")


def create_resource(parts: Parts, readiness: Callable[[], Readiness]) -> Resource:
    """The two operations."""
    resource = Resource("Storages and figures", "Where recordings lie, and how many there are.")

    @resource.route("/storages")
    @needs(Role.VIEWER)
    @resource.response(200, StoragesAnswer)
    def list_storages() -> Mapping[str, Any]:
        """The storages, whether they can be used, and what is in them"""
        looking, counted = readiness(), totals(parts.database)
        looking.start()
        return {"storages": list(_storages(parts, counted, looking.report())), "age_seconds": counted.age}

    @resource.route("/figures")
    @needs(Role.VIEWER)
    @resource.response(200, FiguresAnswer)
    def get_figures() -> Mapping[str, Any]:
        """How much there is of everything, and what needs attention"""
        return _figures(parts, totals(parts.database), Troubles(parts.database))

    return resource


def _storages(parts: Parts, counted: Totals, report: Report) -> Iterator[Mapping[str, Any]]:
    configured = list(parts.storages)
    for place, storage in enumerate([*configured, *counted.former(configured)], 1):
        part = f"storage {place}"  # as the checks behind /readyz name it
        is_known = place <= len(configured) and part not in report.unknown
        problem = report.problems.get(part) or report.warnings.get(part) if is_known else None
        may_see = problem is None or current_actor().may(Role.OPERATOR)
        yield {
            "storage": storage,
            "configured": place <= len(configured),
            "usable": part not in report.problems if is_known else None,
            "problem": problem if may_see else _FOR_OPERATORS,
            "copies": {state.value: counted.copies.get((storage, state), 0) for state in COPY_STATES},
            "stored_bytes": counted.bytes.get((storage, State.STORED), 0),
        }


def _figures(parts: Parts, counted: Totals, troubles: Troubles) -> Mapping[str, Any]:
    deletion = troubles.next_deletion()
    copies = {state.value: sum(n for (_, own), n in counted.copies.items() if own is state) for state in COPY_STATES}
    return {
        "recordings": counted.recordings,
        "copies": copies,
        "stored_bytes": sum(size for (_, state), size in counted.bytes.items() if state is State.STORED),
        "age_seconds": counted.age,
        "troubles": {kind.value: number for kind, number in troubles.count().items()},
        "next_deletion": {"id": deletion.row_id, "at": iso_utc(deletion.at)} if deletion else None,
        "workers": parts.workers.living(),
    }
