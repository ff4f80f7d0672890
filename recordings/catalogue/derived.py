"""The columns of `recordings` that follow from other tables: its state from its copies, its numbers from its call.

They are written in the transaction that changes what they follow from, by these functions alone. Whoever changes the
state of a copy calls `follow_copies` before the commit; whoever writes a recording or a call calls `follow_calls`.
Searching is not here: see `search`.
"""

from __future__ import annotations

import zlib
from collections.abc import Collection, Mapping
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, bindparam, case, func, literal_column, select, text, update

from recordings.model import WORST_FIRST, State

from .tables import calls, copies, recordings

_MOST_DIGITS = 32  # a telephone number has 15 at most; an index of Postgres takes no text of any length

# --- The state -------------------------------------------------------------------------------------------------------

_RANKS = " ".join(f"WHEN '{state.value}' THEN {rank}" for rank, state in enumerate(WORST_FIRST))
_WORST = (
    select(case((copies.c.state == State.FETCHING.value, State.PENDING.value), else_=copies.c.state))
    .where(copies.c.recording_id == recordings.c.id)
    .order_by(literal_column(f"CASE copies.state {_RANKS} END"))
    .limit(1)
    .correlate(recordings)
    .scalar_subquery()
)
_KEPT = func.coalesce(_WORST, State.EMPTY.value)
_THEIRS = recordings.c.id.in_(
    select(copies.c.recording_id).where(copies.c.id.in_(bindparam("copy_ids", expanding=True)))
)
# Made once: making a statement costs more than running it.
_LOCK = select(recordings.c.id).where(_THEIRS).order_by(recordings.c.id).with_for_update(key_share=True)
_FOLLOW = update(recordings).where(_THEIRS, recordings.c.state != _KEPT).values(state=_KEPT)


def state_kept(state: State) -> State:
    """The state as `recordings` keeps it: `pending` also where a worker is fetching.

    To claim a new copy changes its own row alone so. Two indexes and the row of the recording would follow else, twice
    for each recording that is archived.
    """
    return State.PENDING if state is State.FETCHING else state


def follow_copies(connection: Connection, copy_ids: Collection[int]) -> None:
    """Give the recordings of these copies the state of their worst copy, within the caller's transaction.

    See `state_kept`.
    """
    if not copy_ids:
        return
    params = {"copy_ids": list(copy_ids)}
    if connection.dialect.name != "sqlite":
        # Two copies of one recording may change at the same time. The second transaction waits here for the first; its
        # next statement then sees what the first has committed.
        connection.execute(_LOCK, params)
    connection.execute(_FOLLOW, params)


# --- The call --------------------------------------------------------------------------------------------------------


def call_behind() -> ColumnElement[Any]:
    """The row of the call behind a recording: its own with a leg, else the first of its own and those that moved in.

    The legs of a named conversation ask the answer webhook under a conversation of their own and are then moved.
    """
    its_own = select(calls.c.id).where(calls.c.conversation_key == recordings.c.conversation_key).correlate(recordings)
    with_leg = its_own.where(calls.c.leg_uuid.is_not(None)).scalar_subquery()
    own = its_own.scalar_subquery()
    moved = select(func.min(calls.c.id)).where(calls.c.joined_key == recordings.c.conversation_key)
    moved_in = moved.correlate(recordings).scalar_subquery()
    return func.coalesce(with_leg, case((moved_in < own, moved_in)), own, moved_in)


_FOLLOWING = ("from_digits", "from_rev", "to_digits", "to_rev", "direction", "flow", "format")
_BEHIND = (
    select(
        *recordings.c["id", *_FOLLOWING],
        *calls.c["from_number", "to_number"],
        *(calls.c[name].label(f"call_{name}") for name in ("direction", "flow", "format")),
    )
    .join(calls, calls.c.id == call_behind())
    .where(recordings.c.conversation_key.in_(bindparam("keys", expanding=True)))
)
_SET = (
    update(recordings)
    .where(recordings.c.id == bindparam("row_id"))
    .values({name: bindparam(f"new_{name}") for name in _FOLLOWING})
)
_LOCK_SPACE = 0x7461_706B  # "tapk": any number by which nobody else locks on this Postgres
_LOCK_KEYS = text("SELECT pg_advisory_xact_lock(:space, n) FROM unnest(CAST(:numbers AS int[])) AS n")


def follow_calls(connection: Connection, conversation_keys: Collection[str]) -> None:
    """Give the recordings of these conversations what is known of the call behind each, in the caller's transaction.

    To be called once in a transaction, after everything else that it writes.
    """
    if not conversation_keys:
        return
    if connection.dialect.name != "sqlite":
        # The call and its recording may come at the same time, in two transactions of which neither sees the other.
        # The second transaction waits here for the first; its next statement then sees what the first has committed.
        numbers = {zlib.crc32(key.encode()) - (1 << 31) for key in conversation_keys}
        connection.execute(_LOCK_KEYS, {"space": _LOCK_SPACE, "numbers": sorted(numbers)})
    rows = connection.execute(_BEHIND, {"keys": list(conversation_keys)}).all()
    changes = [change for row in rows if (change := _change(row))]
    if changes:
        connection.execute(_SET, changes)


def _change(row: Row[Any]) -> Mapping[str, Any] | None:
    """The parameters of `_SET` for a row of `_BEHIND`; None: the recording has all of it already."""
    from_digits, to_digits = digits_of(row.from_number), digits_of(row.to_number)
    # What the answer said of the format is surer than what the flow's name implies; see `listing`.
    format, flow = row.call_format or row.format, row.flow or row.call_flow
    values = (from_digits, backwards(from_digits), to_digits, backwards(to_digits), row.call_direction, flow, format)
    if values == tuple(row._mapping[name] for name in _FOLLOWING):
        return None
    return {"row_id": row.id} | {f"new_{name}": value for name, value in zip(_FOLLOWING, values, strict=True)}


def digits_of(number: str | None) -> str | None:
    """The digits of a telephone number or of the user's part of a SIP address, 32 at most; None where it has none."""
    user = (number or "").partition("@")[0]
    return "".join(character for character in user if character in "0123456789")[:_MOST_DIGITS] or None


def backwards(digits: str | None) -> str | None:
    """The digits from the last to the first. SQLite knows no such function."""
    return digits[::-1] if digits else None


# --- The audio -------------------------------------------------------------------------------------------------------


def note_measured(connection: Connection, recording_id: int, *, seconds: float, channels: int) -> None:
    """Write down what the audio itself says of its duration and its channels."""
    values = {"seconds": seconds, "heard_channels": channels}
    connection.execute(update(recordings).where(recordings.c.id == recording_id).values(values))
