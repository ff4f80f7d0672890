"""The audit: who did what, when, from where. Entries are added and read; nothing changes or deletes one.

A caller notes an action before it carries it out: what cannot be noted must not happen. An entry's `detail` holds no
secret and no phone number.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, insert, select, tuple_

from recordings.access import Action, Actor, clean_name
from recordings.clock import iso_utc, utc_now
from recordings.errors import InvalidInput

from .csv_lines import csv_line
from .database import Database
from .tables import audit, recordings

PLAYBACK = timedelta(minutes=10)  # within it a person who listens to a recording on and off is noted once
MAX_DETAIL = 500
FIELDS = ("at", "person", "kind", "address", "action", "recording_uuid", "detail")
_PAGE = 500


@dataclass(frozen=True, slots=True)
class Entry:
    """One action. `kind` says how the person was known: see `Actor`."""

    id: int
    at: datetime
    person: str
    kind: str
    address: str | None
    action: str
    recording_id: int | None
    recording_uuid: str | None
    detail: str

    def fields(self) -> dict[str, str | None]:
        """The entry as it is exported; times in ISO 8601."""
        return {name: getattr(self, name) for name in FIELDS} | {"at": iso_utc(self.at)}


@dataclass(frozen=True, slots=True)
class AuditPage:
    """Entries, newest first. `next_cursor` gives the page after it; None on the last one."""

    entries: tuple[Entry, ...]
    next_cursor: str | None


class Audit:
    """The audit in one database. Raises `CatalogueUnavailable` as the database does."""

    def __init__(self, database: Database, *, clock: Callable[[], datetime] = utc_now) -> None:
        self.database = database
        self._clock = clock

    def note(self, actor: Actor, action: Action, *, recording_id: int | None = None, detail: str = "") -> None:
        """Note an action. A playback is noted once for each actor, recording and ten minutes."""
        now = self._clock()
        once = None
        if action is Action.PLAY:
            if self._noted_lately(actor, recording_id, now):
                return
            once = f"{actor.kind}:{actor.name}:{recording_id}:{int(now.timestamp() // PLAYBACK.total_seconds())}"
        row = _row(actor, action, now, recording_id=recording_id, detail=detail) | {"once": once}
        statement = self.database.insert(audit).values(row).on_conflict_do_nothing(index_elements=["once"])
        with self.database.write() as connection:
            connection.execute(statement)

    def _noted_lately(self, actor: Actor, recording_id: int | None, now: datetime) -> bool:
        """A read alone: a browser asks for a recording in many pieces, and each comes through here."""
        query = select(audit.c.id).where(
            audit.c.recording_id == recording_id,
            audit.c.person == actor.name,
            audit.c.kind == actor.kind,
            audit.c.action == Action.PLAY.value,
            audit.c.at > now - PLAYBACK,
        )
        with self.database.read() as connection:
            return connection.execute(query.limit(1)).first() is not None

    def search(
        self,
        *,
        person: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        recording_id: int | None = None,
        action: str | None = None,
        cursor: str | None = None,
        limit: int = 50,
    ) -> AuditPage:
        """The entries that agree with all that is given, newest first; `until` is exclusive. Raises `InvalidInput`."""
        if not 1 <= limit <= _PAGE:
            raise InvalidInput(f"The limit is a whole number from 1 to {_PAGE}.")
        query = _LISTED.order_by(audit.c.at.desc(), audit.c.id.desc()).limit(limit + 1)
        query = query.where(*_conditions(person, since, until, recording_id, action))
        if cursor is not None:
            query = query.where(tuple_(audit.c.at, audit.c.id) < tuple_(*_position(cursor)))
        with self.database.read() as connection:
            entries = tuple(Entry(*row) for row in connection.execute(query))
        more = len(entries) > limit
        return AuditPage(entries[:limit], _cursor(entries[limit - 1]) if more else None)

    def entries(self, **conditions: Any) -> Iterator[Entry]:
        """Every entry that agrees with the conditions of `search`, newest first, read in pages: for an export."""
        cursor: str | None = None
        while True:
            page = self.search(**conditions, cursor=cursor, limit=_PAGE)
            yield from page.entries
            cursor = page.next_cursor
            if cursor is None:
                return


def add_entry(connection: Connection, actor: Actor, action: Action, now: datetime, *, detail: str) -> None:
    """Note an action inside the transaction that carries it out."""
    connection.execute(insert(audit), _row(actor, action, now, detail=detail))


def _row(
    actor: Actor, action: Action, now: datetime, *, recording_id: int | None = None, detail: str
) -> dict[str, object]:
    return {
        "at": now,
        "person": actor.name,
        "kind": actor.kind,
        "address": actor.address,
        "action": action.value,
        "recording_id": recording_id,
        "detail": detail[:MAX_DETAIL],
    }


_LISTED: Select[Any] = select(
    *audit.c["id", "at", "person", "kind", "address", "action", "recording_id"],
    recordings.c.recording_uuid,
    audit.c.detail,
).select_from(audit.outerjoin(recordings, recordings.c.id == audit.c.recording_id))


def _conditions(
    person: str | None, since: datetime | None, until: datetime | None, recording_id: int | None, action: str | None
) -> Iterator[ColumnElement[bool]]:
    if person is not None:
        yield audit.c.person == clean_name(person)
    if since is not None:
        yield audit.c.at >= since
    if until is not None:
        yield audit.c.at < until
    if recording_id is not None:
        yield audit.c.recording_id == recording_id
    if action is not None:
        if action not in set(Action):
            raise InvalidInput(f"There is no such action: write one of {', '.join(Action)}.")
        yield audit.c.action == action


def _cursor(entry: Entry) -> str:
    return f"{entry.at.astimezone(UTC):%Y%m%dT%H%M%S.%f}-{entry.id}"


def _position(cursor: str) -> tuple[datetime, int]:
    moment, _, number = cursor.partition("-")
    try:
        if not (number.isascii() and number.isdecimal() and len(number) < 19):
            raise ValueError
        return datetime.strptime(moment, "%Y%m%dT%H%M%S.%f").replace(tzinfo=UTC), int(number)
    except ValueError:
        raise InvalidInput("The cursor is none that this list gave out: begin again without one.") from None


# --- Export -----------------------------------------------------------------------------------------------------------


def export_detail(conditions: Iterable[str]) -> str:
    """What the audit's own entry says of an export of these conditions: their names, and never what they hold."""
    names = ", ".join(conditions)
    return f"the audit, by {names}" if names else "the whole audit"


def as_jsonl(entries: Iterable[Entry]) -> Iterator[bytes]:
    """One JSON object a line."""
    for entry in entries:
        yield json.dumps(entry.fields(), ensure_ascii=False).encode() + b"\n"


def as_csv(entries: Iterable[Entry]) -> Iterator[bytes]:
    """CSV with a line of headings."""
    yield csv_line(FIELDS).encode()
    for entry in entries:
        yield csv_line(text or "" for text in entry.fields().values()).encode()
