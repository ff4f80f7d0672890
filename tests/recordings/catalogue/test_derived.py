"""What follows from other tables is always what those tables say: after any history, and when two change at once."""

from __future__ import annotations

import shutil
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import insert, select, update

from recordings.catalogue.database import Database
from recordings.catalogue.derived import backwards, digits_of, follow_calls, follow_copies, state_kept
from recordings.catalogue.intake import Intake
from recordings.catalogue.leases import Leases
from recordings.catalogue.listing import find
from recordings.catalogue.schedule import Schedule
from recordings.catalogue.tables import calls, copies, recordings
from recordings.errors import LeaseLost
from recordings.model import Call, CallEvent, State, worst
from recordings.storage import PutResult
from tests.conftest import HandClock
from tests.recordings.conftest import make_announcement, make_delivery
from tests.services.servers import postgres_server_url, postgres_url, sqlalchemy_url  # noqa: F401 - fixtures

STORED = PutResult(100, "ab" * 32, True, "file:///tapes/k")
HISTORIES = settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])


@contextmanager
def catalogue_of_its_own(fresh_catalogue):
    with tempfile.TemporaryDirectory() as folder:
        shutil.copyfile(fresh_catalogue, Path(folder, "catalogue.db"))
        database = Database(f"sqlite:///{folder}/catalogue.db")
        yield database
        database.close()


# --- The state --------------------------------------------------------------------------------------------------------


class Life:
    """Everything that can happen to copies, each by its method's name and a number that chooses the copy."""

    def __init__(self, database):
        self.database, self.clock = database, HandClock()
        self.intakes = [Intake(database, [f"file:///{n}" for n in range(count)], clock=self.clock) for count in (1, 2)]
        self.leases = Leases(database, clock=self.clock)
        self.schedule = Schedule(database, clock=self.clock)
        self.claims = []

    def announce(self, n):
        self.intakes[n % 2].accept(make_delivery(), [make_announcement(recording_uuid=f"r-{n % 4}", size=n % 3)])

    def claim(self, n):
        if claim := self.leases.claim_next():
            self.claims.append(claim)

    def take(self, n):
        if n % 4 + 1 <= len(self.rows(recordings)) and (claim := self.leases.take(n % 4 + 1, f"file:///{n % 3}")):
            self.claims.append(claim)

    def end(self, n):
        if not self.claims:
            return
        claim = self.claims.pop(n % len(self.claims))
        try:
            (
                lambda: self.leases.stored(claim, key="k", content_type="audio/mpeg", result=STORED),
                lambda: self.leases.failed(claim, "over"),
                lambda: self.leases.retry_later(claim, State.BLOCKED, "key", 60),
                lambda: self.leases.retry_later(claim, State.WAITING, "404", 60),
                lambda: self.leases.give_back(claim),
            )[n % 5]()
        except LeaseLost:
            return

    def retry(self, n):
        self.schedule.retry(f"r-{n % 4}")

    def request(self, n):
        if self.rows(recordings):
            self.schedule.request(1, f"file:///{n % 3}")

    def find_damaged(self, n):
        if claim := self.leases.reopen(n % 6, "damaged"):
            self.claims.append(claim)

    def adopt(self, n):
        if f"r-{n % 4}" in {row.recording_uuid for row in self.rows(recordings)}:
            self.intakes[n % 2].adopt(make_delivery(), make_announcement(recording_uuid=f"r-{n % 4}"))

    def mend(self, n):
        self.schedule.requeue_blocked()

    def die(self, n):
        self.clock.move(70)
        with self.database.write() as connection:
            connection.execute(update(copies).where(copies.c.state == "fetching").values(attempts=n % 8))
        self.schedule.back_off_dead(lambda attempts: 10)

    def rows(self, table):
        with self.database.read() as connection:
            return connection.execute(select(table).order_by(table.c.id)).all()


EVENTS = st.sampled_from([name for name in vars(Life) if name not in ("rows",) and not name.startswith("_")])


@HISTORIES
@given(st.lists(st.tuples(EVENTS, st.integers(0, 40)), min_size=5, max_size=40))
def test_a_recording_has_the_state_of_its_worst_copy_after_any_history(fresh_catalogue, history):
    with catalogue_of_its_own(fresh_catalogue) as database:
        life = Life(database)
        for event, n in [("announce", 1), ("announce", 2), *history]:
            getattr(life, event)(n)
            states = {row.id: [] for row in life.rows(recordings)}
            for copy in life.rows(copies):
                states[copy.recording_id].append(State(copy.state))
            assert {row.id: row.state for row in life.rows(recordings)} == {
                row_id: state_kept(worst(of_copies)) for row_id, of_copies in states.items()
            }, event


# --- The call ---------------------------------------------------------------------------------------------------------

CONVERSATIONS = ("CON-A", "CON-B", "CON-ROOM")
NUMBERS = (None, "447700900001", "+44 7700 900002", "JaneDoe", "sip:4915550001@example.com")
choices = st.tuples(*[st.integers(0, 2)] * 2, *[st.integers(0, 4)] * 2, st.booleans())


def happen(intake, kind, one, two, from_, to, yes):
    here, leg = CONVERSATIONS[one], f"leg-{two}" if yes else None
    if kind == "answer":
        words = {"flow": ("call", "split")[yes], "format": (None, "ogg")[yes], "channels": None}
        intake.note_call(Call(here, leg, NUMBERS[from_], NUMBERS[to], **words), "app")
    elif kind == "record":
        words = {"flow": (None, "voicemail")[yes], "format": (None, "mp3")[yes], "size": from_}
        event = make_announcement(recording_uuid=f"r-{to}", conversation_uuid=here, **words)
        intake.accept(make_delivery(), [event])
    else:
        conversations = (here, CONVERSATIONS[two]) if kind == "transfer" else (here,)
        direction = (None, "inbound", "outbound", "inbound", None)[to]
        intake.accept(make_delivery(), [CallEvent(kind, conversations, leg, NUMBERS[from_], NUMBERS[to], direction)])


@HISTORIES
@given(st.lists(st.tuples(st.sampled_from(["answer", "record", "started", "transfer"]), choices), max_size=25))
def test_a_recording_has_the_numbers_of_the_call_behind_it_whichever_comes_first(fresh_catalogue, history):
    with catalogue_of_its_own(fresh_catalogue) as database:
        intake = Intake(database, ["file:///a"], clock=HandClock())
        for kind, (one, two, from_, to, yes) in history:
            happen(intake, kind, one, two, from_, to, yes)
        with database.read() as connection:
            rows = connection.execute(select(recordings)).all()
        for row in rows:
            (shown,) = find(database, row.recording_uuid)
            assert (row.from_digits, row.to_digits) == (digits_of(shown.from_), digits_of(shown.to))
            assert (row.from_rev, row.to_rev) == (backwards(row.from_digits), backwards(row.to_digits))
            assert (row.direction, row.format, row.flow) == (shown.direction, shown.format, shown.flow)


@pytest.mark.parametrize(
    ("number", "digits"),
    [
        (None, None),
        ("", None),
        ("JaneDoe", None),
        ("+44 (7700) 900-001", "447700900001"),
        ("sip:447700900001@10.0.0.1:5060", "447700900001"),
        ("٤٤٧", None),
        ("1" * 5000, "1" * 32),
    ],
)
def test_the_digits_of_a_number_are_those_that_an_index_can_hold(number, digits):
    assert digits_of(number) == digits


# --- Two transactions at once, which only Postgres has ----------------------------------------------------------------


@pytest.fixture
def postgres(make_database, request):
    return make_database(sqlalchemy_url(request.getfixturevalue("postgres_url")))


def test_two_copies_that_change_at_once_leave_the_state_of_the_worst(postgres, clock):
    ids = (
        Intake(postgres, ["file:///a", "file:///b"], clock=clock)
        .accept(make_delivery(), [make_announcement()])
        .copy_ids
    )
    both_wrote = threading.Barrier(2)

    def store(copy_id):
        with postgres.write() as connection:
            connection.execute(update(copies).where(copies.c.id == copy_id).values(state="stored"))
            both_wrote.wait(10)
            follow_copies(connection, [copy_id])

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(store, ids))
    with postgres.read() as connection:
        assert connection.execute(select(recordings.c.state)).scalar_one() == "stored"


def test_a_call_and_its_recording_that_come_at_once_find_each_other(postgres, clock):
    both_wrote = threading.Barrier(2)
    recording = Intake(postgres, ["file:///a"], clock=clock)._recording_row(
        make_delivery(), make_announcement(conversation_uuid="CON-1")
    )
    call = {"conversation_key": "1", "conversation_uuid": "CON-1", "application_id": "a", "from_number": "4471234"}

    def write(table, row):
        with postgres.write() as connection:
            connection.execute(insert(table), row)
            both_wrote.wait(10)
            follow_calls(connection, ["1"])

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(write, (recordings, calls), (recording, call)))
    with postgres.read() as connection:
        assert connection.execute(select(recordings.c.from_rev)).scalar_one() == "4321744"


# --- Catalogues from before -------------------------------------------------------------------------------------------


def test_the_migration_fills_what_was_there_before(database, clock):
    intake = Intake(database, ["file:///a", "file:///b"], clock=clock)
    intake.note_call(Call("CON-1", "leg", "447700900001", "JaneDoe", "call", format="ogg"), "app")
    for n in range(3):
        intake.accept(make_delivery(), [make_announcement(recording_uuid=f"r-{n}", conversation_uuid=f"CON-{n}")])
        clock.move(timedelta(seconds=1).total_seconds())
    leases = Leases(database, clock=clock)
    leases.failed(leases.claim_next(), "over")

    def read():
        with database.read() as connection:
            return connection.execute(select(recordings).order_by(recordings.c.id)).all()

    before = read()
    _undo_migration(database)
    database.migrate()
    assert read() == before
    assert [row.state for row in before] == ["failed", "pending", "pending"]
    assert [row.from_digits for row in before] == [None, "447700900001", None]


def _undo_migration(database):
    """As the tables were before the migration that adds these columns."""
    with database.write() as connection:
        for name in [
            row.name for row in connection.exec_driver_sql("SELECT name FROM sqlite_master WHERE type='index'")
        ]:
            if name.startswith("ix_recordings_") and name != "ix_recordings_conversation_key":
                connection.exec_driver_sql(f"DROP INDEX {name}")
        for name in (
            "state",
            "from_digits",
            "from_rev",
            "to_digits",
            "to_rev",
            "direction",
            "seconds",
            "heard_channels",
        ):
            connection.exec_driver_sql(f"ALTER TABLE recordings DROP COLUMN {name}")
        for statement in (
            "CREATE INDEX ix_recordings_received_at ON recordings (received_at)",
            "DROP INDEX ix_copies_state_storage_size",
            "CREATE INDEX ix_copies_state ON copies (state)",
            *(f"DROP TABLE {name}" for name in ("figures", "attempts", "ended_sessions")),
            "UPDATE alembic_version SET version_num = '0007'",
        ):
            connection.exec_driver_sql(statement)
