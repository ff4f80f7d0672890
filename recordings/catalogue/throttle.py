"""How often a password may be tried: counted in the database, so that all processes of all hosts share one limit."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from datetime import datetime, timedelta

from sqlalchemy import Connection, case, delete, or_, select, update

from recordings.clock import utc_now

from .database import Database
from .tables import sign_in_tries

WINDOW = timedelta(minutes=5)
TRIES_BY_ADDRESS = 10
TRIES_IN_ALL = 100
_TRUSTED = timedelta(days=30)  # an address where somebody signed in lately is not held up by a flood from elsewhere
_ALL = "all"


class Throttle:
    """Tries to sign in, by address and in all. Raises `CatalogueUnavailable` as the database does."""

    def __init__(self, database: Database, *, clock: Callable[[], datetime] = utc_now) -> None:
        self.database = database
        self._clock = clock

    def allows(self, address: str) -> float:
        """0 when a try is allowed, else the seconds to wait.

        Each try is counted before the password is looked at, so that many at once cannot pass the limit together;
        `succeeded` gives this one back.
        """
        now = self._clock()
        if wait := self._wait_of(_source(address), now):
            return wait
        with self.database.write() as connection:
            wait, trusted = self._count(connection, _source(address), TRIES_BY_ADDRESS, now)
            if not wait and not trusted:
                wait, _ = self._count(connection, _ALL, TRIES_IN_ALL, now)
        return wait

    def succeeded(self, address: str) -> None:
        """The try that was just allowed had the right password, and does not count. Old rows are forgotten, too.

        The tries before it do: else whoever has an account could sign in between, and try others' passwords for ever.
        """
        now = self._clock()
        old = (sign_in_tries.c.since <= now - WINDOW) & or_(
            sign_in_tries.c.succeeded_at.is_(None), sign_in_tries.c.succeeded_at <= now - _TRUSTED
        )
        mine = sign_in_tries.c.source == _source(address)
        own_back = case((sign_in_tries.c.tries > 0, sign_in_tries.c.tries - 1), else_=0)
        with self.database.write() as connection:
            connection.execute(update(sign_in_tries).where(mine).values(tries=own_back, succeeded_at=now))
            connection.execute(delete(sign_in_tries).where(old, ~mine))

    def _wait_of(self, source: str, now: datetime) -> float:
        """The wait where no try is left. A read alone: who goes on trying must not keep the database writing."""
        query = select(sign_in_tries).where(sign_in_tries.c.source.in_((source, _ALL)))
        with self.database.read() as connection:
            rows = {row.source: row for row in connection.execute(query)}
        mine = rows.get(source)
        if mine is not None and mine.tries >= TRIES_BY_ADDRESS and mine.since > now - WINDOW:
            return _left(mine.since, now)
        every = rows.get(_ALL)
        is_trusted = mine is not None and _is_recent(mine.succeeded_at, now)
        if every is not None and not is_trusted and every.tries >= TRIES_IN_ALL and every.since > now - WINDOW:
            return _left(every.since, now)
        return 0.0

    def _count(self, connection: Connection, source: str, limit: int, now: datetime) -> tuple[float, bool]:
        """Count one try. The seconds to wait, and whether somebody signed in from there lately."""
        row = {"source": source, "tries": 1, "since": now}
        fresh = sign_in_tries.c.since > now - WINDOW
        statement = (
            self.database.insert(sign_in_tries)
            .values(row)
            .on_conflict_do_update(
                index_elements=["source"],
                set_={
                    "tries": case((fresh, sign_in_tries.c.tries + 1), else_=1),
                    "since": case((fresh, sign_in_tries.c.since), else_=now),
                },
            )
            .returning(*sign_in_tries.c["tries", "since", "succeeded_at"])
        )
        tries, since, succeeded_at = connection.execute(statement).one()
        return _left(since, now) if tries > limit else 0.0, _is_recent(succeeded_at, now)


def _left(since: datetime, now: datetime) -> float:
    """The seconds until the tries since then are forgotten."""
    return max(1.0, (since + WINDOW - now).total_seconds())


def _is_recent(succeeded_at: datetime | None, now: datetime) -> bool:
    return succeeded_at is not None and succeeded_at > now - _TRUSTED


def _source(address: str) -> str:
    """What is counted together: an IPv4 address, or the IPv6 network that one customer gets."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return "unknown"
    if parsed.version == 6:
        return str(ipaddress.ip_network((parsed, 64), strict=False))
    return str(parsed)
