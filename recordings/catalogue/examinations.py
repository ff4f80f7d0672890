"""What the last thorough look at the deployment found, and whether one is being taken, for all web processes.

What is looked at, and by which thread, is decided in `recordings.care.examination`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta

from sqlalchemy import delete, select

from recordings.clock import utc_now

from .database import Database
from .tables import figures
from .turns import EXAMINATION, take_turn

_RESULT = 3  # the row of `figures`
_LONGEST = timedelta(minutes=10)  # of one look: a process that died in it keeps nobody from the next


@dataclass(frozen=True, slots=True)
class Finding:
    """What was found about one part: `level` is `ok`, `warning` or `error`; `mend` says what to do."""

    level: str
    part: str
    message: str
    mend: str | None


@dataclass(frozen=True, slots=True)
class Result:
    """What was found, and when the look ended."""

    at: datetime
    findings: tuple[Finding, ...]


class Examinations:
    """The looks at everything in one database. Raises `CatalogueUnavailable` as the database does."""

    def __init__(self, database: Database, *, clock: Callable[[], datetime] = utc_now) -> None:
        self.database = database
        self._clock = clock

    def begin(self) -> bool:
        """Take the turn for a look. False: another process takes one just now."""
        return take_turn(self.database, EXAMINATION, self._clock(), _LONGEST)

    def runs(self) -> bool:
        """Whether a look is being taken."""
        since = select(figures.c.counted_at).where(figures.c.id == EXAMINATION)
        with self.database.read() as connection:
            began = connection.execute(since).scalar()
        return began is not None and abs(self._clock() - began) < _LONGEST

    def end(self, findings: Iterable[Finding] | None) -> None:
        """Give the turn back, and keep what was found in place of what was found before; None: the look broke off."""
        with self.database.write() as connection:
            connection.execute(delete(figures).where(figures.c.id == EXAMINATION))
            if findings is not None:
                values = {"counted_at": self._clock(), "document": json.dumps([asdict(row) for row in findings])}
                statement = self.database.insert(figures).values(id=_RESULT, **values)
                connection.execute(statement.on_conflict_do_update(index_elements=["id"], set_=values))

    def last(self) -> Result | None:
        """What the last look found; None: nobody has taken one yet."""
        query = select(*figures.c["counted_at", "document"]).where(figures.c.id == _RESULT)
        with self.database.read() as connection:
            row = connection.execute(query).first()
        if row is None:
            return None
        return Result(row.counted_at, tuple(Finding(**finding) for finding in json.loads(row.document)))
