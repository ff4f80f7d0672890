"""What is Postgres' own: workers that pass each other by, news from other processes, and an end to every wait."""

from __future__ import annotations

import re
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import timedelta

import psycopg
import pytest
from sqlalchemy import text

from recordings.access import Action, Actor, Role
from recordings.catalogue.accounts import Accounts
from recordings.catalogue.attempts import KEPT, failed_attempts
from recordings.catalogue.audit import Audit
from recordings.catalogue.changes import Changes
from recordings.catalogue.engines import POSTGRES_CONNECTIONS
from recordings.catalogue.examinations import Examinations, Finding, Result
from recordings.catalogue.intake import Intake
from recordings.catalogue.keys import shared_key
from recordings.catalogue.leases import Leases
from recordings.catalogue.listing import find
from recordings.catalogue.nightly import whole_catalogue
from recordings.catalogue.sessions import Sessions
from recordings.catalogue.tables import metadata
from recordings.catalogue.throttle import TRIES_BY_ADDRESS, Throttle
from recordings.catalogue.tokens import Tokens
from recordings.catalogue.turns import NIGHTLY_LIST, take_turn
from recordings.catalogue.waveforms import Waveforms, measured
from recordings.errors import CatalogueUnavailable
from recordings.model import State, Waveform
from recordings.timeouts import Deadline
from simulator.processes import wait_for
from tests.services.servers import (  # noqa: F401 - fixtures
    postgres_server_url,
    postgres_url,
    private_postgres,
    sqlalchemy_url,
)


@pytest.fixture
def database_url(postgres_url):  # noqa: F811 - the fixture
    return sqlalchemy_url(postgres_url)


@pytest.fixture
def database(make_database):
    made = make_database()
    made.migrate()
    return made


def test_an_index_holds_only_the_rows_that_the_tables_say(database):
    """As the tables say it of SQLite: see `tables._partial`."""
    database.migrate()
    conditions = {
        index.name: str(index.dialect_options["sqlite"]["where"])
        for table in metadata.tables.values()
        for index in table.indexes
        if index.dialect_options["sqlite"]["where"] is not None
    }
    with database.read() as connection:
        rows = connection.execute(text("SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'")).all()
    made = {row.indexname: row.indexdef.partition(" WHERE ")[2] for row in rows}
    plain = {name: re.sub(r"[()]|::text", "", made[name]) for name in conditions}
    assert plain == conditions


def test_workers_of_several_processes_share_the_copies_out(make_database, new_copy, clock):
    ids = [new_copy() for _ in range(60)]
    barrier = threading.Barrier(8)
    processes = [Leases(make_database(), clock=clock) for _ in range(4)]

    def claim_all(n):
        barrier.wait(10)
        return [claim.copy_id for claim in iter(processes[n % 4].claim_next, None)]

    with ThreadPoolExecutor(8) as pool:
        claimed = list(pool.map(claim_all, range(8)))
    assert sorted(copy_id for part in claimed for copy_id in part) == ids


def test_a_row_that_another_worker_is_just_taking_is_passed_over(make_database, database, new_copy, clock):
    first, second = new_copy(), new_copy()
    with database.write() as connection:
        connection.execute(text("SELECT id FROM copies WHERE id = :id FOR UPDATE"), {"id": first})
        assert Leases(make_database(), clock=clock).claim_next().copy_id == second


def test_a_claim_that_waited_long_for_a_lock_is_given_back(make_database, database, new_copy, row_of, clock):
    """Its lease began before the wait: another worker may take the copy at any moment, and both would fetch it."""
    copy_id = new_copy()
    leases = Leases(make_database(), clock=clock)

    def waiting():
        with database.read() as connection:  # each transaction sees one state of the server's activity
            query = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
            return connection.execute(text(query)).scalar_one()

    with ThreadPoolExecutor(1) as pool:
        with database.write() as holder:
            holder.execute(text("LOCK TABLE copies"))
            claim = pool.submit(leases.claim_next)
            wait_for(waiting, "the claim waits for the lock")
            clock.move(leases.lease / 2)
        assert claim.result(30) is None
    row = row_of(copy_id)
    assert (row["state"], row["attempts"], row["due_at"]) == ("pending", 0, clock())
    assert leases.claim_next().copy_id == copy_id


@pytest.mark.parametrize("makes_due", ["a new recording", "a retry"])
def test_a_commit_of_another_process_is_heard_at_once(
    make_database, database, delivery, announcement, clock, schedule, makes_due
):
    intake = Intake(make_database(), ["file:///tapes"], clock=clock)
    intake.accept(delivery(), [announcement(recording_uuid="r")])
    changes, stopping, heard = Changes(database), threading.Event(), threading.Event()
    changes.wait(0, stopping)  # it listens from now on

    def listen():
        changes.wait(60, stopping)
        heard.set()

    thread = threading.Thread(target=listen)
    thread.start()
    if makes_due == "a retry":
        schedule.retry("r")
    else:
        intake.accept(delivery(), [announcement()])
    assert heard.wait(10)
    thread.join()
    changes.close()


def test_a_pooled_connection_that_the_server_has_ended_is_replaced(database):
    with database.write() as connection:
        backend = connection.execute(text("SELECT pg_backend_pid()")).scalar_one()
    with psycopg.connect(database.url.set(drivername="postgresql").render_as_string(hide_password=False)) as other:
        other.execute("SELECT pg_terminate_backend(%s)", [backend])
    with database.write() as connection:
        assert connection.execute(text("SELECT pg_backend_pid()")).scalar_one() != backend


def test_a_locked_table_is_waited_for_until_the_deadline(make_database, database):
    with database.write() as holder:
        holder.execute(text("LOCK TABLE recordings"))
        began = time.monotonic()
        with pytest.raises(CatalogueUnavailable, match=r"55P03|57014"), make_database().write(Deadline(0.5)) as waiting:
            waiting.execute(text("SELECT count(*) FROM recordings"))
        assert time.monotonic() - began < 5


def test_a_place_in_the_pool_is_waited_for_until_the_deadline(database):
    with ExitStack() as transactions:
        for _ in range(POSTGRES_CONNECTIONS):
            transactions.enter_context(database.write())
        with pytest.raises(CatalogueUnavailable, match="busy"):
            transactions.enter_context(database.write(Deadline(0.2)))


def test_statements_are_not_prepared_because_a_pooler_gives_each_transaction_another_server(database):
    for _ in range(10):
        with database.write() as connection:
            connection.execute(text("SELECT :one"), {"one": 1})
    with database.write() as connection:
        assert connection.execute(text("SELECT count(*) FROM pg_prepared_statements")).scalar_one() == 0


def test_who_may_is_kept_on_postgres_alike(make_database, database, clock):
    by = Actor("root", Role.ADMIN, None, "command")
    Accounts(database, clock=clock).add("anna", Role.LISTENER, "correct horse battery", by=by)
    assert Accounts(make_database()).check("anna", "correct horse battery").role is Role.LISTENER
    token = Tokens(database, clock=clock).create("grafana", Role.VIEWER, by=by)
    assert Tokens(make_database(), clock=clock).find(token).name == "grafana"
    assert shared_key(database, "session") == shared_key(make_database(), "session")


def test_tries_and_playbacks_in_several_processes_are_counted_once_on_postgres(make_database, database, clock):
    throttles = [Throttle(make_database(), clock=clock) for _ in range(4)]
    audits = [Audit(make_database(), clock=clock) for _ in range(4)]
    with ThreadPoolExecutor(8) as pool:
        waits = list(pool.map(lambda number: throttles[number % 4].allows("192.0.2.1"), range(40)))
        anna = Actor("anna", Role.LISTENER, None, "account")
        list(pool.map(lambda number: audits[number % 4].note(anna, Action.PLAY, recording_id=1), range(16)))
    assert waits.count(0) == TRIES_BY_ADDRESS
    assert len(Audit(database).search().entries) == 1


def test_the_nightly_list_is_one_workers_turn_and_holds_everything_on_postgres(make_database, new_copy, clock):
    new_copy()
    databases, length = [make_database() for _ in range(4)], timedelta(minutes=25)
    for _ in range(2):
        with ThreadPoolExecutor(4) as pool:
            turns = list(pool.map(lambda database: take_turn(database, NIGHTLY_LIST, clock(), length), databases))
        assert turns.count(True) == 1
        clock.move(length.total_seconds())
    assert len(list(whole_catalogue(databases[0]))) == 1


def test_a_server_that_is_frozen_is_given_up_at_the_deadline(make_database, private_postgres):  # noqa: F811
    database = make_database(sqlalchemy_url(private_postgres.url))
    database.migrate()
    began = time.monotonic()
    with private_postgres.frozen(), pytest.raises(CatalogueUnavailable), database.write(Deadline(0.5)) as connection:
        connection.execute(text("SELECT 1"))
    assert time.monotonic() - began < 5
    with database.write() as connection:
        assert connection.execute(text("SELECT 1")).scalar_one() == 1


def test_a_listener_gives_up_a_server_that_is_frozen(make_database, private_postgres):  # noqa: F811
    database = make_database(sqlalchemy_url(private_postgres.url))
    database.migrate()
    changes, stopping = Changes(database, patience=1.5), threading.Event()
    with database.write():
        pass  # the pool has a connection, which is taken without asking the server
    with private_postgres.frozen(), pytest.raises(CatalogueUnavailable):
        changes.wait(60, stopping)
    changes.wait(0, stopping)  # it listens as soon as the server is back
    changes.close()


def test_a_listener_waits_for_a_place_in_the_pool_until_its_deadline(database):
    changes = Changes(database, patience=0.2)
    with ExitStack() as transactions:
        for _ in range(POSTGRES_CONNECTIONS):
            transactions.enter_context(database.write())
        with pytest.raises(CatalogueUnavailable, match="busy"):
            changes.wait(60, threading.Event())


def test_workers_of_several_processes_share_the_waveforms_out(make_database, database, new_copy, clock):
    for _ in range(6):
        new_copy()
    with database.write() as connection:
        connection.execute(text("UPDATE copies SET state = 'stored', due_at = NULL, size = 1, key = 'a.mp3'"))
        storages = connection.scalars(text("SELECT DISTINCT storage FROM copies")).all()
    workers = [Waveforms(make_database(), clock=clock) for _ in range(3)]
    claims = [worker.take(storages) for _ in range(2) for worker in workers]
    assert len({claim.recording_id for claim in claims}) == 6
    waveform = Waveform(1.5, 1, 8000, 3, b"\x00\x7f\x01")
    workers[0].made(claims[0], waveform)
    assert measured(database, claims[0].recording_id).waveform == waveform
    assert workers[1].failed(claims[1], "the store was away")
    clock.move(15 * 60)
    assert workers[2].take(storages).attempts == 2


def test_the_newest_failed_attempts_of_a_copy_stay(database, new_copy, clock):
    copy_id, leases = new_copy(recording_uuid="r"), Leases(database, clock=clock)
    for _ in range(KEPT + 2):
        leases.retry_later(leases.claim(copy_id), State.WAITING, "no audio", 0)
    (recording,) = find(database, "r")
    assert [attempt.number for attempt in failed_attempts(database, recording)] == list(range(3, KEPT + 3))


def test_ends_of_sessions_and_looks_at_everything_are_shared(make_database, database, clock):
    one, other = Sessions(database), Sessions(make_database())
    one.end("one")
    one.end("one")
    assert (other.has_ended("one"), other.has_ended("other")) == (True, False)
    here, there = Examinations(database, clock=clock), Examinations(make_database(), clock=clock)
    assert (here.begin(), there.begin(), there.runs()) == (True, False, True)
    found = Finding("ok", "disk", "There is room.", None)
    for _ in range(2):
        here.end([found])
    assert (there.runs(), there.last()) == (False, Result(clock(), (found,)))


def test_no_connection_is_begun_that_would_outlast_the_deadline_by_far(make_database, private_postgres):  # noqa: F811
    """libpq waits for 2 s at least, and an event that came more than 7 s ago has less than 1 s left."""
    database = make_database(sqlalchemy_url(private_postgres.url))
    with database.write() as connection:
        assert connection.execute(text("SELECT 1")).scalar_one() == 1
    database.close()
    began, no_time = time.monotonic(), pytest.raises(CatalogueUnavailable, match="No time was left to connect")
    with private_postgres.frozen(), no_time, database.write(Deadline(0.9)):
        pass
    assert time.monotonic() - began < 1.5
    with database.write(Deadline(5)) as connection:
        assert connection.execute(text("SELECT 1")).scalar_one() == 1
