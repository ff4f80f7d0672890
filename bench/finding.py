"""How long it takes to find recordings, at a thousand and at a million of them, on SQLite and on Postgres.

The time of a page must not grow with the catalogue. The rows are written straight into the tables, since taking so many
events in would take an hour; `recordings.catalogue.search` is then asked as the pages ask it.
"""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Connection, insert, text

from recordings.catalogue.database import Database
from recordings.catalogue.derived import backwards
from recordings.catalogue.search import RecordingFilter, search
from recordings.catalogue.tables import calls, copies, recordings
from recordings.model import State
from recordings.timeouts import Deadline
from tests.services.databases import NotInstalled, PrivatePostgres, new_database
from tests.services.servers import sqlalchemy_url

from .stage import Options, folder
from .table import Goal, Row, at_most

SMALL, LARGE, QUICK_LARGE = 1_000, 1_000_000, 30_000
TRIES, QUICK_TRIES = 200, 50
FLOOR, TWICE = 10.0, 2.0  # milliseconds below which two times count as alike; how far apart larger ones may be
# What was measured apart, at 100,000 and 400,000 recordings: the page and the count. Of other rows nobody knows yet.
_COUNTED = "a page also counts what was chosen, up to 10,000 recordings; the small catalogue has 1,000."
_FAILED = "the copies of each recording that failed somewhere are looked at: 3,750 recordings, and 4 in the small one."
REASONS = {
    "SQLite: a week": "in the large catalogue 50 recordings are read for a page, in the small one a few.",
    **{f"{database}: a storage": _COUNTED for database in ("SQLite", "Postgres")},
    **{f"{database}: a failed copy in a storage": _FAILED for database in ("SQLite", "Postgres")},
}
NUMBER_GOAL = 100.0  # milliseconds, of the beginning or the end of a number
BEGIN, DAYS = datetime(2023, 11, 22, tzinfo=UTC), 3 * 365
STORAGES = ("file:///tapes", "gs://tapes")
OWN_NUMBER = "447700900000"
NOT_STORED = (State.FAILED, State.BLOCKED, State.WAITING, State.PENDING)
AT_ONCE = 5_000
SECRET = b"nobody else reads these cursors"

Question = Callable[[random.Random], RecordingFilter]


def run(options: Options) -> tuple[list[Row], list[str]]:
    """Each question many times at both sizes in turns, after ANALYZE, on each database that can run here."""
    large, tries = (QUICK_LARGE, QUICK_TRIES) if options.quick else (LARGE, TRIES)
    rows: list[Row] = []
    notes = [
        f"{tries} random questions of each kind, 50 rows a page, asked in turns of {large:,} and {SMALL:,} recordings "
        "with two copies each, after ANALYZE; the ratio is that of both p95"
    ]
    for name, databases in (("SQLite", _sqlite), ("Postgres", _postgres)):
        try:
            with databases() as urls:
                times = _times(urls, (SMALL, large), tries)
        except NotInstalled as missing:
            notes.append(f"{name} was left out: {missing}")
            continue
        rows += [_row(name, what, *times[what], SMALL) for what in QUESTIONS]
    return rows, notes


def _row(name: str, what: str, small: list[float], large: list[float], size: int) -> Row:
    title, early, late = f"{name}: {what}", _percentile95(small), _percentile95(large)
    if "number" in what and "whole" not in what:
        goal = at_most(NUMBER_GOAL, " ms at p95", late)
    else:
        is_met = late <= max(FLOOR, TWICE * early)
        goal = Goal(f"p95: ratio ≤ {TWICE:g}, or ≤ {FLOOR:g} ms", is_met, REASONS.get(title, ""))
    return Row(title, _shown(large), f"{size:,} recordings", _shown(small), late / early, goal)


def _shown(waits: list[float]) -> str:
    return f"p50 {statistics.median(waits):.1f} ms, p95 {_percentile95(waits):.1f} ms"


def _percentile95(waits: list[float]) -> float:
    return statistics.quantiles(waits, n=20)[-1]


# --- Questions -------------------------------------------------------------------------------------------------------


def _day(chance: random.Random) -> datetime:
    return BEGIN + timedelta(days=chance.random() * DAYS)


def _dates(chance: random.Random) -> RecordingFilter:
    day = _day(chance)
    return RecordingFilter(since=day, until=day + timedelta(days=7))


QUESTIONS: dict[str, Question] = {
    "newest page": lambda chance: RecordingFilter(),
    "a page in the middle": lambda chance: RecordingFilter(until=_day(chance)),
    "a state": lambda chance: RecordingFilter(states=(chance.choice([*NOT_STORED, State.STORED]),)),
    "a week": _dates,
    "a storage": lambda chance: RecordingFilter(storage=chance.choice(STORAGES)),
    "a failed copy in a storage": lambda chance: RecordingFilter(storage=STORAGES[0], states=(State.FAILED,)),
    "whole number": lambda chance: RecordingFilter(number=caller(chance)),
    "beginning of a number": lambda chance: RecordingFilter(number=caller(chance)[:6], number_match="prefix"),
    "end of a number": lambda chance: RecordingFilter(number=caller(chance)[-4:], number_match="suffix"),
}


def _times(urls: tuple[str, str], sizes: tuple[int, int], tries: int) -> dict[str, tuple[list[float], list[float]]]:
    """Milliseconds of each question, in the small and in the large catalogue."""
    databases = [Database(url) for url in urls]
    for database, size in zip(databases, sizes, strict=True):
        fill(database, size)
    times = {what: _in_turns(databases, sizes, question, tries) for what, question in QUESTIONS.items()}
    for database in databases:
        database.close()
    return times


def _in_turns(
    databases: list[Database], sizes: tuple[int, int], question: Question, tries: int
) -> tuple[list[float], list[float]]:
    chances = [random.Random(size) for size in sizes]
    pairs = [
        [_ask(database, question(chance)) for database, chance in zip(databases, chances, strict=True)]
        for _ in range(tries)
    ]
    small, large = zip(*pairs, strict=True)
    return list(small), list(large)


def _ask(database: Database, question: RecordingFilter) -> float:
    began = time.perf_counter()
    search(database, question, secret=SECRET)
    return (time.perf_counter() - began) * 1000


# --- Rows ------------------------------------------------------------------------------------------------------------


def caller(chance: random.Random) -> str:
    """One of 200,000 numbers; a few of them call very often."""
    rank = int(200_000 * chance.random() ** 8) if chance.random() < 0.3 else chance.randrange(200_000)
    return f"{(44, 1, 49)[rank % 3]}77{rank * 7919 % 100_000_000:08}"


def fill(database: Database, count: int) -> None:
    """Write so many recordings of three years with their calls and copies; then let the database look at them."""
    chance = random.Random(count)
    database.migrate()
    for first in range(1, count + 1, AT_ONCE):
        ids = range(first, min(first + AT_ONCE, count + 1))
        with database.write() as connection:
            _insert(connection, ids, count, chance)
    with database.write(Deadline(600)) as connection:
        connection.execute(text("ANALYZE"))


def _insert(connection: Connection, ids: range, count: int, chance: random.Random) -> None:
    numbers = [(caller(chance), OWN_NUMBER if chance.random() < 0.025 else caller(chance)) for _ in ids]
    states = [chance.choice(NOT_STORED) if chance.random() < 0.015 else State.STORED for _ in ids]
    connection.execute(insert(calls), [_call(*row) for row in zip(ids, numbers, strict=True)])
    moments = [BEGIN + timedelta(days=DAYS * row_id / count) for row_id in ids]
    rows = zip(ids, moments, numbers, states, strict=True)
    connection.execute(insert(recordings), [_recording(*row) for row in rows])
    pairs = [(row_id, state) for row_id, state in zip(ids, states, strict=True)]
    connection.execute(
        insert(copies), [_copy(row_id, state, storage) for row_id, state in pairs for storage in STORAGES]
    )


def _call(row_id: int, numbers: tuple[str, str]) -> dict[str, Any]:
    return {
        "conversation_key": f"c-{row_id}",
        "conversation_uuid": f"CON-c-{row_id}",
        "application_id": "bench",
        "leg_uuid": f"leg-{row_id}",
        "from_number": numbers[0],
        "to_number": numbers[1],
        "direction": "inbound",
        "flow": "call",
    }


def _recording(row_id: int, moment: datetime, numbers: tuple[str, str], state: State) -> dict[str, Any]:
    return {
        "id": row_id,
        "application_id": "bench",
        "recording_uuid": f"r-{row_id * 7919 % 1_000_003}-{row_id}",
        "conversation_uuid": f"CON-c-{row_id}",
        "conversation_key": f"c-{row_id}",
        "recording_url": f"https://api.nexmo.com/v1/files/{row_id}",
        "size": 200_000,
        "start_time": moment - timedelta(seconds=60),
        "end_time": moment,
        "received_at": moment,
        "origin": "voice",
        "flow": "call",
        "format": "mp3",
        "empty": False,
        "state": state.value,
        "from_digits": numbers[0],
        "from_rev": backwards(numbers[0]),
        "to_digits": numbers[1],
        "to_rev": backwards(numbers[1]),
        "direction": "inbound",
    }


def _copy(row_id: int, state: State, storage: str) -> dict[str, Any]:
    copy_state = state if storage == STORAGES[0] else State.STORED
    return {
        "recording_id": row_id,
        "storage": storage,
        "state": copy_state.value,
        "attempts": 1,
        "key": f"2026/{row_id}.mp3",
        "size": 200_000 if copy_state is State.STORED else None,
    }


# --- Databases -------------------------------------------------------------------------------------------------------


@contextmanager
def _sqlite() -> Iterator[tuple[str, str]]:
    with folder() as home:
        yield f"sqlite:///{home}/small.db", f"sqlite:///{home}/large.db"


@contextmanager
def _postgres() -> Iterator[tuple[str, str]]:
    """The URLs of two empty databases."""
    with PrivatePostgres() as server:
        urls, drops = zip(*(new_database(server.url) for _ in range(2)), strict=True)
        small, large = map(sqlalchemy_url, urls)
        yield small, large
        for drop in drops:
            with suppress(OSError):
                drop()
