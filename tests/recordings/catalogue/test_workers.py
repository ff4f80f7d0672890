"""Every process sees which workers live, also those of other hosts."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from sqlalchemy import select

from recordings.catalogue.tables import workers
from recordings.catalogue.workers import Workers

ROOT = Path(__file__).resolve().parents[3]


def test_a_worker_that_gave_a_sign_of_life_is_seen_by_all_for_a_minute(make_database, database, clock):
    worker, web = Workers(database, clock=clock), Workers(make_database(), clock=clock)
    assert web.living() == 0
    worker.sign()
    assert web.living() == 1
    clock.move(59)
    assert web.living() == 1
    clock.move(2)
    assert web.living() == 0
    worker.sign()
    assert web.living() == 1


def test_a_worker_counts_once_and_is_gone_when_it_leaves(database, clock):
    one, other = (Workers(database, clock=clock) for _ in range(2))
    for _ in range(3):
        one.sign()
        other.sign()
    assert one.living() == 2
    one.leave()
    assert other.living() == 1


def test_who_never_gave_a_sign_of_life_leaves_without_a_word(database, clock):
    worker, web = (Workers(database, clock=clock) for _ in range(2))
    worker.sign()
    web.leave()
    assert web.living() == 1


FORKED = """
import os, sys
from recordings.catalogue.database import Database
from recordings.catalogue.workers import Workers
workers = Workers(Database(sys.argv[1]))
if os.fork() == 0:
    workers.sign()
    os._exit(0)
os.wait()
workers.sign()
print(workers.living())
workers.leave()
print(workers.living())
"""


def test_a_process_that_was_forked_is_a_worker_of_its_own(database):
    command = [sys.executable, "-c", FORKED, str(database.url)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.stdout.split() == ["2", "1"], done.stderr


def test_workers_that_are_gone_for_a_day_are_forgotten(database, clock):
    Workers(database, clock=clock).sign()
    clock.move(86401)
    Workers(database, clock=clock).sign()
    with database.read() as connection:
        assert len(connection.execute(select(workers)).all()) == 1
