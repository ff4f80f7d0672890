"""How many recordings came on each day, by the state that they show now. A day is one in UTC."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from datetime import date, datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, func, select

from recordings.model import State

from .database import Database
from .tables import recordings

Days = Mapping[date, Mapping[State, int]]


def recordings_by_day(connection: Connection, since: datetime) -> Days:
    """The recordings that came since then; days and states without any are left out."""
    day = _day(connection)
    query = select(day, recordings.c.state, func.count()).where(recordings.c.received_at >= since)
    days: dict[date, dict[State, int]] = defaultdict(dict)
    for row in connection.execute(query.group_by(day, recordings.c.state)):
        days[date.fromisoformat(row[0])][State(row[1])] = row[2]
    return days


def recordings_since(database: Database, since: datetime) -> Mapping[State, int]:
    """How many recordings came since then, by state."""
    query = select(recordings.c.state, func.count()).where(recordings.c.received_at >= since)
    with database.read() as connection:
        return {State(row[0]): row[1] for row in connection.execute(query.group_by(recordings.c.state))}


def _day(connection: Connection) -> ColumnElement[Any]:
    if connection.dialect.name == "sqlite":
        return func.date(recordings.c.received_at)  # the column holds text in UTC
    return func.to_char(func.timezone("UTC", recordings.c.received_at), "YYYY-MM-DD")
