"""How a filter is looked for: which index leads, and which conditions are checked row by row.

SQLite's planner knows too little of the rows to choose, so the choice is made here, for both databases alike. The time
of a page must not grow with the catalogue. Running the queries is in `search`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, and_, exists, func, or_, select, union_all

from recordings.model import WORST_FIRST, State, conversation_key

from .derived import backwards, state_kept
from .filters import RecordingFilter
from .identity import has_uuid
from .tables import copies, recordings, transcriptions

Conditions = tuple[ColumnElement[bool], ...]


@dataclass(frozen=True, slots=True)
class Bounds:
    """What a page may cost, in rows.

    `few`: so many are sorted as quickly as they are read in their order. `window`: a page looks at no more where few
    rows may be wanted. `counted`: here counting ends; of a number, whose rows lie far apart, at `counted_of_number`.
    `walked`: the size of a page where all are read.
    """

    few: int = 1000
    window: int = 20_000
    counted: int = 10_000
    counted_of_number: int = 1000
    walked: int = 200


BOUNDS = Bounds()


@dataclass(frozen=True, slots=True)
class Plan:
    """`branches`: sets of conditions, each answered by one index in the order of the list; no row is in two branches.

    `others` are the conditions that are checked row by row. `sparse`: few rows may meet them, so a page must not read
    on until it is full.
    """

    branches: tuple[Conditions, ...]
    others: Conditions
    sparse: bool


def plan_for(connection: Connection, filter: RecordingFilter, few: int) -> Plan:
    """The plan for this filter. It depends on whether the number index has more than a `few` rows for its number."""
    conditions = _conditions(filter)
    if filter.recording_uuid is not None:
        return _led(conditions, "recording_uuid", sparse=False)
    if filter.conversation is not None:
        return _led(conditions, "conversation", sparse=False)
    rows = _rows_with_number(connection, filter, few) if filter.number else None
    if rows is not None:
        rest = tuple(condition for name, condition in conditions.items() if name != "number")
        return Plan(((recordings.c.id.in_(rows),),), rest, False)
    if filter.states == (State.FETCHING,) and filter.storage is None:
        return Plan(((_in_work(),),), tuple(conditions.values()), False)
    states = _leading_states(filter)
    if states and (State.STORED not in states or filter.number is None or filter.number_match != "exact"):
        done = () if filter.storage else ("states",)
        return _branched(filter, conditions, tuple((recordings.c.state == state.value,) for state in states), done)
    if filter.number and filter.number_match == "exact":
        return _branched(filter, conditions, _exact_number(filter.number), ("number",))
    if filter.flow is not None:
        return _branched(filter, conditions, ((recordings.c.flow == filter.flow,),), ("flow",))
    return _branched(filter, conditions, ((),), ())


def _led(conditions: dict[str, ColumnElement[bool]], leader: str, *, sparse: bool) -> Plan:
    others = tuple(condition for name, condition in conditions.items() if name != leader)
    return Plan(((conditions[leader],),), others, sparse)


def _branched(
    filter: RecordingFilter,
    conditions: dict[str, ColumnElement[bool]],
    branches: tuple[Conditions, ...],
    done: tuple[str, ...],
) -> Plan:
    others = {name: condition for name, condition in conditions.items() if name not in done}
    met_by_most = {"with_empty"} if State.FETCHING in filter.states else {"with_empty", "in_work"}
    return Plan(branches, tuple(others.values()), bool(set(others) - met_by_most))


# --- Conditions ------------------------------------------------------------------------------------------------------


def _conditions(filter: RecordingFilter) -> dict[str, ColumnElement[bool]]:
    """What a row must meet, by the name of the filter's attribute; no index is used for what has a leading branch."""
    return dict(_each_condition(filter))


def _each_condition(filter: RecordingFilter) -> Iterator[tuple[str, ColumnElement[bool]]]:
    own = recordings.c
    if filter.recording_uuid is not None:
        yield "recording_uuid", has_uuid(filter.recording_uuid)
    elif not filter.with_empty and not filter.states:
        yield "with_empty", _hidden(own.state) != State.EMPTY.value
    if filter.conversation is not None:
        yield "conversation", own.conversation_key == conversation_key(filter.conversation)
    if filter.storage is not None:
        yield "storage", _has_copy(filter)
    elif filter.states:
        yield "states", _hidden(own.state).in_({state_kept(state).value for state in filter.states})
        if (State.FETCHING in filter.states) != (State.PENDING in filter.states):
            in_work = _in_work() if State.FETCHING in filter.states else ~_in_work()
            yield "in_work", or_(_hidden(own.state) != State.PENDING.value, in_work)
    if filter.number:
        yield "number", _like(filter)
    if filter.flow is not None:
        yield "flow", _hidden(own.flow) == filter.flow
    if filter.direction is not None:
        yield "direction", own.direction == filter.direction
    if filter.format is not None:
        yield "format", own.format == filter.format
    if filter.application is not None:
        yield "application", _hidden(own.application_id) == filter.application
    if filter.min_seconds is not None:
        yield "min_seconds", or_(own.seconds.is_(None), own.seconds >= filter.min_seconds)
    if filter.has_transcript is not None:
        yield "has_transcript", _transcript() if filter.has_transcript else ~_transcript()


def _hidden(column: ColumnElement[Any]) -> ColumnElement[Any]:
    """The column's value in a form for which no index is used: another one leads."""
    return func.coalesce(column, "")


def _has_copy(filter: RecordingFilter) -> ColumnElement[bool]:
    its_copy = exists().where(copies.c.recording_id == recordings.c.id, copies.c.storage == filter.storage)
    if filter.states:
        its_copy = its_copy.where(_hidden(copies.c.state).in_([state.value for state in filter.states]))
    return its_copy


def _in_work() -> ColumnElement[bool]:
    """Whether a worker is fetching a copy of the recording: its row does not tell.

    Those in work are so few that they are read once, and each row is compared with them.
    """
    return recordings.c.id.in_(select(copies.c.recording_id).where(copies.c.state == State.FETCHING.value))


def _transcript() -> ColumnElement[bool]:
    return exists().where(
        transcriptions.c.recording_uuid == recordings.c.recording_uuid,
        transcriptions.c.application_id == recordings.c.application_id,
        transcriptions.c.url.is_not(None),
    )


def _leading_states(filter: RecordingFilter) -> tuple[State, ...]:
    """The states that the rows of the wanted recordings keep: those of their copies, or worse ones.

    Empty where that says little.
    """
    if filter.storage is None:
        return tuple(dict.fromkeys(state_kept(state) for state in filter.states))
    if not filter.states or {State.STORED, State.EMPTY} & set(filter.states):
        return ()
    worse = WORST_FIRST[: 1 + max(WORST_FIRST.index(state) for state in filter.states)]
    return tuple(dict.fromkeys(state_kept(state) for state in worse))


# --- Numbers ---------------------------------------------------------------------------------------------------------


def _like(filter: RecordingFilter) -> ColumnElement[bool]:
    before = "%" if filter.number_match == "suffix" else ""
    after = "%" if filter.number_match == "prefix" else ""
    pattern = f"{before}{filter.number}{after}"
    return or_(_hidden(recordings.c.from_digits).like(pattern), _hidden(recordings.c.to_digits).like(pattern))


def _exact_number(number: str) -> tuple[Conditions, ...]:
    own = recordings.c
    return ((own.from_digits == number,), (own.to_digits == number, _hidden(own.from_digits) != number))


def _rows_with_number(connection: Connection, filter: RecordingFilter, few: int) -> list[int] | None:
    """The rows of the recordings with this number; None: there are more than a few."""
    ranges = _ranges(filter.number or "", filter.number_match)
    parts = [select(recordings.c.id).where(part).limit(few + 1).subquery() for part in ranges]
    queries: list[Select[Any]] = [select(part.c.id) for part in parts]
    rows = connection.scalars(union_all(*queries)).all()
    return None if len(rows) > few else sorted(set(rows))


def _ranges(number: str, match: str) -> Conditions:
    """The range of each number index that holds the wanted digits."""
    own = recordings.c
    if match == "exact":
        return (own.from_digits == number, own.to_digits == number)
    columns = (own.from_rev, own.to_rev) if match == "suffix" else (own.from_digits, own.to_digits)
    first = (backwards(number) or "") if match == "suffix" else number
    beyond = first[:-1] + chr(ord(first[-1]) + 1)
    return tuple(and_(column >= first, column < beyond) for column in columns)
