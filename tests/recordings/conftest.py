"""A catalogue in a file of its own, events to feed it, and what a retrieval is made of."""

from __future__ import annotations

import dataclasses
import shutil
import uuid
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select

from backends.local.storage import LocalStorage
from recordings.archive.credentials import ApplicationToken
from recordings.archive.failures import RetryPolicy
from recordings.archive.fetch import Fetcher
from recordings.archive.heartbeat import Heartbeat
from recordings.archive.hosts import HostRule
from recordings.archive.retrieval import Retrieval
from recordings.archive.sidecar import SidecarWriter
from recordings.catalogue.database import Database
from recordings.catalogue.intake import Intake
from recordings.catalogue.leases import Leases
from recordings.catalogue.listing import find
from recordings.catalogue.schedule import Schedule
from recordings.catalogue.tables import copies
from recordings.keys import KeyTemplate
from recordings.model import Announcement, Delivery, Recording, State
from settings import Settings

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
STORAGE = "file:///tapes"


def make_delivery(**changes):
    words = {
        "route": "recordings",
        "method": "POST",
        "query": "flow=call",
        "content_type": "application/json",
        "body": b"{}",
        "application_id": "the-application",
        "signed": True,
        "jti": "jti-1",
    }
    return Delivery(**words | changes)


def make_announcement(**changes):
    words = {
        "recording_uuid": str(uuid.uuid4()),
        "conversation_uuid": f"CON-{uuid.uuid4()}",
        "recording_url": "https://api.nexmo.com/v1/files/x",
        "size": 100,
        "start_time": NOW - timedelta(seconds=20),
        "end_time": NOW - timedelta(seconds=10),
        "timestamp": NOW,
    }
    return Announcement(**words | changes)


def make_recording(**changes):
    words = {
        "application_id": "the-application",
        "recording_uuid": "r-1",
        "conversation_uuid": "CON-1",
        "recording_url": "https://api.nexmo.com/v1/files/x",
        "state": State.FETCHING,
        "size": 100,
        "start_time": NOW - timedelta(seconds=20),
        "end_time": NOW - timedelta(seconds=10),
        "received_at": NOW,
    }
    return Recording(**words | changes)


@pytest.fixture(scope="session")
def delivery():
    """Makes a `Delivery`, some words changed."""
    return make_delivery


@pytest.fixture(scope="session")
def announcement():
    """Makes an `Announcement` of a new recording, some words changed."""
    return make_announcement


@pytest.fixture(scope="session")
def recording():
    """Makes a `Recording`, some words changed."""
    return make_recording


@pytest.fixture
def database_url(tmp_path):
    return f"sqlite:///{tmp_path}/catalogue.db"


@pytest.fixture
def make_database(database_url):
    """`make_database()`: one more connection to the same file, as another process has it."""
    made = []

    def make(url=database_url, **options):
        made.append(Database(url, **options))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture(scope="session")
def fresh_catalogue(tmp_path_factory):
    """A migrated, empty catalogue to copy: migrating takes longer than most tests."""
    path = tmp_path_factory.mktemp("catalogue") / "fresh.db"
    database = Database(f"sqlite:///{path}")
    database.migrate()
    database.close()
    return path


@pytest.fixture
def database(make_database, fresh_catalogue, tmp_path):
    shutil.copyfile(fresh_catalogue, tmp_path / "catalogue.db")
    return make_database()


@pytest.fixture
def rows(database):
    """`rows(table)`: all its rows, in order, as dictionaries."""

    def read(table):
        with database.read() as connection:
            return [dict(row._mapping) for row in connection.execute(select(table).order_by(table.c.id))]

    return read


@pytest.fixture
def intake(database, clock):
    return Intake(database, [STORAGE], clock=clock)


@pytest.fixture
def leases(database, clock):
    return Leases(database, lease=60, clock=clock)


@pytest.fixture
def schedule(database, clock):
    return Schedule(database, clock=clock)


@pytest.fixture
def due_ids(database, clock):
    """`due_ids()`: the copies that a worker could take now, in their order."""

    def read():
        query = select(copies.c.id).where(copies.c.due_at <= clock()).order_by(copies.c.due_at, copies.c.id)
        with database.read() as connection:
            return list(connection.scalars(query))

    return read


@pytest.fixture
def new_copy(intake):
    """`new_copy(**changes)`: the id of the copy of a recording that was just announced."""

    def make(**changes):
        return intake.accept(make_delivery(), [make_announcement(**changes)]).copy_ids[0]

    return make


@pytest.fixture
def row_of(rows):
    """`row_of(copy_id)`: the copy's row as it is now."""
    return lambda copy_id: next(row for row in rows(copies) if row["id"] == copy_id)


class Told:
    """Hooks that note what they are told. `key` is what `object_key` answers."""

    def __init__(self):
        self.key = None
        self.stored = []
        self.failed = []

    def object_key(self, recording):
        return self.key(recording) if callable(self.key) else self.key

    def listens(self, hook):
        return True

    def recording_stored(self, recording, copy):
        self.stored.append((recording, copy))

    def recording_failed(self, recording, copy, error, will_retry):
        self.failed.append((recording, copy, error, will_retry))


class Desk:
    """A whole retrieval over SQLite, a folder and a pretend Vonage: `announce` a file, `run` its copies, look."""

    def __init__(self, database, clock, vonage, token, folder):
        self.database, self.clock, self.vonage, self.folder = database, clock, vonage, folder
        self.hooks = Told()
        self.pauses = []
        self.storages = {STORAGE: LocalStorage(folder)}
        self.leases = Leases(database, clock=clock)
        self.schedule = Schedule(database, clock=clock)
        self.heartbeat = Heartbeat(self.leases)
        self.retrieval = Retrieval(
            leases=self.leases,
            heartbeat=self.heartbeat,
            fetcher=Fetcher(HostRule.parse([vonage.origin]), token.mint, clock=clock),
            storages=self.storages,
            template=KeyTemplate(Settings.storage_key_template),
            hooks=self.hooks,
            policy=RetryPolicy(chance=lambda low, high: 1.0),
            sidecars=SidecarWriter("test", clock),
            clock=clock,
            pause=self._pause,
        )

    def _pause(self, seconds):
        self.pauses.append(seconds)

    @property
    def storage(self):
        return self.storages[STORAGE]

    @storage.setter
    def storage(self, backend):
        self.storages[STORAGE] = backend

    def announce(self, file, **changes):
        """Take in the recording event of this file; the announcement and the ids of its copies."""
        words = {"recording_url": file.url, "size": file.size} | changes
        event = make_announcement(**words)
        intake = Intake(self.database, list(self.storages), clock=self.clock)
        return event, intake.accept(make_delivery(), [event]).copy_ids

    def run(self, copy_ids):
        for copy_id in copy_ids:
            claim = self.leases.claim(copy_id)
            if claim is not None:
                self.retrieval.archive(claim)

    def due_ids(self):
        """The copies that a worker could take now, in their order."""
        query = select(copies.c.id).where(copies.c.due_at <= self.clock()).order_by(copies.c.due_at, copies.c.id)
        with self.database.read() as connection:
            return list(connection.scalars(query))

    def archive(self, file, **changes):
        """Announce and run; the recording as the catalogue then knows it."""
        event, copy_ids = self.announce(file, **changes)
        self.run(copy_ids)
        return self.find(event)

    def find(self, event):
        return find(self.database, event.recording_uuid)[0]

    def retry(self, event):
        """Time passes, and every copy is looked at again."""
        self.clock.move(7 * 3600)
        self.run(self.due_ids())
        return self.find(event)

    def key(self, event, ext="mp3"):
        return KeyTemplate(Settings.storage_key_template).render(dataclasses.replace(self.find(event)), ext)

    def files(self):
        """Every file in the folder, hidden ones too, by its path below it."""
        found = (path for path in self.folder.rglob("*") if path.is_file())
        return {str(path.relative_to(self.folder)): path.read_bytes() for path in found}


@pytest.fixture(scope="session")
def token(rsa_key, application_id):
    return ApplicationToken(application_id, rsa_key)


@pytest.fixture
def desk(database, clock, vonage, token, tmp_path):
    return Desk(database, clock, vonage, token, tmp_path / "tapes")
