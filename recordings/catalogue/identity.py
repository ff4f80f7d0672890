"""Recordings by their uuid alone. Their index begins with the application: a second one would cost every event.

An index of random keys is what makes the commit of an event slow: each row changes another page of it.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import BindParameter, ColumnElement, and_, func, select

from .tables import recordings


def has_uuid(*uuids: str | BindParameter[Any]) -> ColumnElement[bool]:
    """Whether a row of `recordings` has one of these uuids, whichever application it belongs to."""
    same = recordings.c.recording_uuid == uuids[0] if len(uuids) == 1 else recordings.c.recording_uuid.in_(uuids)
    return and_(recordings.c.application_id.in_(_applications()), same)


def _applications() -> Any:
    """The applications that have recordings, each found by one step in the index: there are few.

    https://wiki.postgresql.org/wiki/Loose_indexscan
    """
    rows = recordings.alias("of_application")
    first = select(func.min(rows.c.application_id).label("application_id")).cte("applications", recursive=True)
    following = select(func.min(rows.c.application_id)).where(rows.c.application_id > first.c.application_id)
    steps = first.union_all(
        select(following.correlate(first).scalar_subquery()).where(first.c.application_id.is_not(None))
    )
    return select(steps.c.application_id)
