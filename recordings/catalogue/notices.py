"""What each recipient of notices was told of: a row for each kind of trouble, which one process of all changes.

When a notice is due and what it says stands in `recordings.care`.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import and_, select, update

from .database import Database
from .tables import notices
from .troubles import Trouble


@dataclass(frozen=True, slots=True)
class NoticeState:
    """What a recipient knows of one kind of trouble. `number` is what it was told of; 0: that all is well.

    `since` is when the trouble was first seen, `told_at` the time of the last notice that it began or grew,
    `fewer_since` the time since which there has been less of it than was told. Until `busy_until` another process
    sends, or a failed attempt rests; `attempts` counts those that failed, one after the other. `version` is 0 where
    there is no row yet.
    """

    kind: Trouble
    recipient: str
    version: int = 0
    number: int = 0
    since: datetime | None = None
    told_at: datetime | None = None
    fewer_since: datetime | None = None
    busy_until: datetime | None = None
    attempts: int = 0


class Notices:
    """The rows of one database. Raises `CatalogueUnavailable` as the database does."""

    def __init__(self, database: Database) -> None:
        self.database = database

    def read(self, recipients: Collection[str]) -> dict[tuple[str, Trouble], NoticeState]:
        """The rows of these recipients."""
        query = select(notices).where(notices.c.recipient.in_(recipients))
        with self.database.read() as connection:
            return {(row.recipient, Trouble(row.kind)): _state(row) for row in connection.execute(query)}

    def everything(self) -> list[NoticeState]:
        """All rows, also those of recipients that are told no more."""
        query = select(notices).order_by(notices.c.recipient, notices.c.kind)
        with self.database.read() as connection:
            return [_state(row) for row in connection.execute(query)]

    def change(self, before: NoticeState, after: NoticeState) -> NoticeState | None:
        """Write `after`, if the row still is as `before`. Returns the row; None: another process was quicker."""
        changed = replace(after, version=before.version + 1)
        row = asdict(changed) | {"kind": before.kind.value}
        same = and_(
            notices.c.kind == before.kind.value,
            notices.c.recipient == before.recipient,
            notices.c.version == before.version,
        )
        statement: Any = update(notices).where(same).values(row)
        if before.version == 0:
            statement = self.database.insert(notices).values(row).on_conflict_do_nothing()
        with self.database.write() as connection:
            return changed if connection.execute(statement.returning(notices.c.version)).first() else None


def _state(row: Any) -> NoticeState:
    return NoticeState(**{**row._mapping, "kind": Trouble(row.kind)})
