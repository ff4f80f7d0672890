"""Calls that were told to record and brought no recording: Vonage offers no way to ask for one, so a person must know.

A call is judged once, some time after its end. When its recording is missing, one worker of all hosts reports it, once.
When the recording comes late, the call does not count as missing any more. No request is made here.
https://github.com/Vonage/vonage-dotnet-sdk/issues/628
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    ScalarSelect,
    Select,
    and_,
    exists,
    func,
    not_,
    or_,
    select,
    update,
)

from recordings.clock import iso_utc, utc_now
from recordings.model import Call
from recordings.timeouts import Deadline

from .database import Database
from .outgoing import OutgoingEvents
from .piles import Pile, pile
from .tables import call_events, calls, recordings

log = logging.getLogger(__name__)

_PAGE = 500

# After this time a call has ended, also where no event said so: Vonage lets no call last longer than a day.
# https://developer.vonage.com/en/api/voice#createCall (length_timer)
_LONGEST_CALL = timedelta(days=1)

# Vonage keeps a recording for 30 days, and a refused delivery may be replayed some days after that.
_LATEST = timedelta(days=60)

# The events of a call: those of its own leg. Where the answer webhook named none, all of its conversation.
_ITS_EVENTS = or_(
    call_events.c.leg_uuid == calls.c.leg_uuid,
    and_(calls.c.leg_uuid.is_(None), call_events.c.conversation_key == calls.c.conversation_key),
)


def _first(kind: str) -> ScalarSelect[Any]:
    query = select(func.min(call_events.c.received_at)).where(_ITS_EVENTS, call_events.c.kind == kind)
    return query.correlate(calls).scalar_subquery()


_PICKED_UP, _ENDED = _first("answered"), _first("completed")


def _arrived() -> ColumnElement[bool]:
    """A recording of the call's conversation, or of any that its leg moved into."""
    here = exists().where(recordings.c.conversation_key.in_((calls.c.conversation_key, calls.c.joined_key)))
    moved = select(call_events.c.id).where(call_events.c.leg_uuid == calls.c.leg_uuid)
    moved = moved.join(recordings, recordings.c.conversation_key == call_events.c.conversation_key)
    return or_(here.correlate(calls), moved.correlate(calls).exists())


_ARRIVED = _arrived()


def _missing(since: datetime | None) -> ColumnElement[bool]:
    lacking = and_(calls.c.expectation == "missing", not_(_ARRIVED))
    return lacking if since is None else and_(lacking, calls.c.missing_at >= since)


@dataclass(frozen=True, slots=True)
class MissingPage:
    """Some of the calls. The next page begins `before` the row `next_before`; None: nothing is left."""

    calls: tuple[Call, ...]
    next_before: int | None


class MissingCalls:
    """The calls of one database that lack their recording; `grace` is in seconds after the `completed` event.

    `tell` is called once for each call whose recording turns out to be missing, in the process that found it. `events`
    are written for programs in the transaction that finds it. Raises `CatalogueUnavailable` as the database does.
    """

    def __init__(
        self,
        database: Database,
        *,
        grace: float = 600,
        clock: Callable[[], datetime] = utc_now,
        tell: Callable[[Call], None] = lambda call: None,
        events: OutgoingEvents | None = None,
    ) -> None:
        self.database = database
        self._events = events
        self._grace = timedelta(seconds=grace)
        self._clock = clock
        self._tell = tell

    def settle(self) -> list[Call]:
        """Judge the calls whose time has come, 500 at most. Returns those whose recording is missing from now on."""
        overdue = self._overdue()
        with self.database.read() as connection:
            if connection.execute(overdue.limit(1)).first() is None:
                return []
        with self.database.write() as connection:
            lost_calls = self._judge(connection, connection.execute(overdue.limit(_PAGE)).all())
            if self._events is not None:
                self._events.note_missing(connection, lost_calls)
        for call in lost_calls:
            log.warning(
                "The call %s (%s) was told to record, and no recording was announced within %.0f s of its end. "
                "See: flask recordings missing",
                call.conversation_uuid,
                call.flow,
                self._grace.total_seconds(),
            )
            self._tell(call)
        return lost_calls

    def listing(self, *, since: datetime | None = None) -> Iterator[Call]:
        """Every call that lacks its recording now, oldest first, in pages; with `since`, those found missing since."""
        last = 0
        while True:
            query = _CALLS.where(_missing(since), calls.c.id > last).order_by(calls.c.id).limit(_PAGE)
            with self.database.read() as connection:
                rows = connection.execute(query).all()
            yield from map(_call, rows)
            if len(rows) < _PAGE:
                return
            last = rows[-1].id

    def page(self, *, since: datetime | None = None, before: int | None = None, limit: int = 50) -> MissingPage:
        """The calls that lack their recording now, the newest first: those whose row comes before this one."""
        query = _CALLS.where(_missing(since)).order_by(calls.c.id.desc()).limit(limit + 1)
        if before is not None:
            query = query.where(calls.c.id < before)
        with self.database.read() as connection:
            rows = connection.execute(query).all()
        return MissingPage(tuple(map(_call, rows[:limit])), rows[limit - 1].id if len(rows) > limit else None)

    def count(self, deadline: Deadline | None = None, *, since: datetime | None = None) -> int:
        """How many calls lack their recording now. With `since`: only calls whose recording was found missing since."""
        with self.database.read(deadline) as connection:
            return connection.execute(select(func.count()).select_from(calls).where(_missing(since))).scalar_one()

    def pile(self, *, since: datetime | None = None) -> Pile:
        """How many calls lack their recording now, and the newest of them; of those found missing since."""
        with self.database.read() as connection:
            return pile(connection, calls, _missing(since))

    def set_aside(self, *, upto: int, most: int, since: datetime | None = None) -> int:
        """On a person's word these calls, up to the row `upto`, count as missing no longer. Returns how many."""
        chosen = select(calls.c.id).where(_missing(since), calls.c.id <= upto).order_by(calls.c.id).limit(most)
        with self.database.write() as connection:
            ids = list(connection.scalars(chosen))
            return len(_settle(connection, ids, ("missing",), expectation="aside"))

    def _overdue(self) -> Select[Any]:
        over_by = self._clock() - self._grace
        over = or_(_ENDED.op("<=")(over_by), calls.c.answered_at <= over_by - _LONGEST_CALL)
        waiting = and_(calls.c.expectation == "expected", or_(over, _ARRIVED))
        hoped_for = calls.c.missing_at >= self._clock() - _LATEST
        late = and_(calls.c.expectation == "missing", hoped_for, _ARRIVED)
        return _CALLS.where(or_(waiting, late)).order_by(calls.c.id)

    def _judge(self, connection: Connection, rows: Collection[Row[Any]]) -> list[Call]:
        for row in rows:
            if row.expectation == "missing":
                log.info("The recording of the call %s, which was missing, has arrived.", row.conversation_uuid)
        lost = [row.id for row in rows if not row.arrived and row.picked_up_at is not None]
        # A call that nobody picked up had nothing to record.
        unanswered = [row.id for row in rows if not row.arrived and row.picked_up_at is None]
        _settle(connection, [row.id for row in rows if row.arrived], ("expected", "missing"), expectation="met")
        _settle(connection, unanswered, ("expected",), expectation="none")
        judged = _settle(connection, lost, ("expected",), expectation="missing", missing_at=self._clock())
        missing = connection.execute(_CALLS.where(calls.c.id.in_(judged)).order_by(calls.c.id)) if judged else ()
        return [_call(row) for row in missing]


_CALLS: Select[Any] = select(
    calls,
    _PICKED_UP.label("picked_up_at"),
    _ENDED.label("ended_at"),
    _ARRIVED.label("arrived"),
)


def _settle(connection: Connection, ids: list[int], before: tuple[str, ...], **verdict: Any) -> set[int]:
    """Write the verdict, except into rows that another worker has judged meanwhile.

    Returns the ids of the rows written.
    """
    if not ids:
        return set()
    open_still = and_(calls.c.id.in_(ids), calls.c.expectation.in_(before))
    return {row.id for row in connection.execute(update(calls).where(open_still).values(verdict).returning(calls.c.id))}


def _call(row: Row[Any]) -> Call:
    """The call in the answer webhook's fields; `params` holds all that is known of it, times as ISO 8601 in UTC."""
    seconds = (row.ended_at - row.picked_up_at).total_seconds() if row.ended_at and row.picked_up_at else None
    params = {
        "conversation_uuid": row.conversation_uuid,
        "uuid": row.leg_uuid,
        "from": row.from_number,
        "to": row.to_number,
        "direction": row.direction,
        "flow": row.flow,
        "application_id": row.application_id,
        "region_url": row.region_url,
        "answered_at": _time(row.picked_up_at or row.answered_at),
        "completed_at": _time(row.ended_at),
        "seconds": None if seconds is None else max(0, round(seconds)),
        "missing_since": _time(row.missing_at),
    }
    return Call(
        conversation_uuid=row.conversation_uuid,
        uuid=row.leg_uuid,
        from_=row.from_number,
        to=row.to_number,
        flow=row.flow or "",
        region_url=row.region_url,
        format=row.format,
        channels=row.channels,
        records=True,
        params=MappingProxyType(params),
    )


def _time(moment: datetime | None) -> str | None:
    return None if moment is None else iso_utc(moment)
