"""What a crash, a lost lease or a database that is away leaves of a retrieval, and how the next attempt settles it."""

from __future__ import annotations

import dataclasses
import shutil
import threading
from contextlib import contextmanager

import pytest

from backends.local.storage import LocalStorage
from recordings.archive import sidecar
from recordings.archive.heartbeat import Heartbeat
from recordings.archive.sources import BytesSource
from recordings.catalogue.database import Database
from recordings.errors import CatalogueUnavailable, StorageUnavailable
from recordings.model import State


class Crash(BaseException):
    """The process ends here, as far as the code under test is concerned."""


class Meanwhile(LocalStorage):
    """A folder in which something happens before or after each put of audio."""

    before = after = staticmethod(lambda: None)

    def put(self, key, source, *, content_type, metadata):
        audio = not key.endswith(".json")
        if audio:
            self.before()
        result = super().put(key, source, content_type=content_type, metadata=metadata)
        if audio:
            self.after()
        return result


class Fickle(Database):
    """A database that is away while `away` is true. Once `cut` is true, the next commit's answer is lost."""

    away = cut = False

    @contextmanager
    def write(self, deadline=None):
        if self.away:
            raise CatalogueUnavailable("The database cannot be used right now: gone for tea.")
        with super().write(deadline) as connection:
            yield connection
        if self.cut:
            self.cut = False
            raise CatalogueUnavailable("The database cannot be used right now: the connection broke off.")


@pytest.fixture
def database(database_url, fresh_catalogue, tmp_path):
    shutil.copyfile(fresh_catalogue, tmp_path / "catalogue.db")
    fickle = Fickle(database_url)
    yield fickle
    fickle.close()


@pytest.fixture
def meanwhile(desk):
    desk.storage = Meanwhile(desk.folder)
    return desk.storage


def crash():
    raise Crash


def put_there(desk, event, content, metadata=None, **options):
    """As an earlier attempt, or somebody else, left it."""
    metadata = sidecar.identity(desk.find(event)) if metadata is None else metadata
    storage = LocalStorage(desk.folder, **options)
    storage.put(desk.key(event), BytesSource(content, "audio/mpeg"), content_type="audio/mpeg", metadata=metadata)


# --- Crashes ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("xattrs", [True, False], ids=["with metadata", "without metadata"])
@pytest.mark.parametrize("format", ["mp3", None], ids=["format known", "format unknown"])
def test_a_crash_between_storing_and_recording_is_settled_by_the_next_attempt(desk, vonage, format, xattrs):
    desk.storage = storage = Meanwhile(desk.folder, xattrs=xattrs)
    storage.after = crash
    file = vonage.add_file()
    event, ids = desk.announce(file, format=format)
    with pytest.raises(Crash):
        desk.run(ids)
    key = desk.key(event)
    assert desk.files().keys() == {key}
    assert desk.find(event).state is State.FETCHING
    storage.after = Meanwhile.after
    desk.clock.move(61)
    desk.run(ids)
    (copy,) = desk.find(event).copies
    assert (copy.state, copy.key, copy.sha256, copy.attempts) == (State.STORED, key, file.sha256, 2)
    assert desk.files().keys() == {key, f"{key}.json"}
    # What is there is believed by the store's own word; without one it is compared with a fresh download.
    assert file.requests == 1 + (not xattrs or format is None)


def test_a_crash_before_storing_leaves_nothing(desk, vonage, meanwhile):
    meanwhile.before = crash
    event, ids = desk.announce(vonage.add_file())
    with pytest.raises(Crash):
        desk.run(ids)
    assert desk.files() == {}
    meanwhile.before = Meanwhile.after
    assert desk.retry(event).state is State.STORED


def test_a_sidecar_that_could_not_be_written_is_written_by_the_next_attempt(desk, vonage):
    class NoSidecar(LocalStorage):
        def put(self, key, source, **options):
            if key.endswith(".json"):
                raise StorageUnavailable("No space for that.")
            return super().put(key, source, **options)

    desk.storage = NoSidecar(desk.folder)
    event, ids = desk.announce(vonage.add_file(), format="mp3")
    desk.run(ids)
    assert desk.find(event).state is State.WAITING
    desk.storage = LocalStorage(desk.folder)
    assert desk.retry(event).state is State.STORED
    assert f"{desk.key(event)}.json" in desk.files()


@pytest.mark.parametrize("format", ["mp3", None])
@pytest.mark.parametrize("evidence", ["metadata", "bytes alone"])
def test_another_recording_under_the_key_is_left_alone_and_named(desk, vonage, format, evidence):
    file = vonage.add_file()
    event, ids = desk.announce(file, format=format)
    metadata = {"recording_uuid": "somebody-else"} if evidence == "metadata" else {}
    put_there(desk, event, b"\xff\xfbother audio", metadata)
    desk.run(ids)
    (copy,) = desk.find(event).copies
    assert copy.state is State.FAILED
    assert ("somebody-else" if evidence == "metadata" else "other audio") in copy.error
    assert desk.files() == {desk.key(event): b"\xff\xfbother audio"}
    assert desk.hooks.failed[0][3] is False


@pytest.mark.parametrize("late", [False, True], ids=["within the 30 days", "after them"])
def test_what_a_lost_catalogue_left_is_found_also_where_vonage_has_it_no_more(desk, vonage, late):
    file = vonage.add_file(faults=["404"] * 5)
    event, ids = desk.announce(file, format="mp3")
    put_there(desk, event, file.content)
    desk.clock.move(40 * 24 * 3600 if late else 0)
    desk.run(ids)
    (copy,) = desk.find(event).copies
    assert (copy.state, copy.key, copy.sha256, copy.attempts) == (State.STORED, desk.key(event), file.sha256, 1)


def test_a_first_attempt_asks_the_store_for_nothing_before_it_puts(desk, vonage):
    asked = []

    class Asked(LocalStorage):
        def head(self, key):
            asked.append("head")
            return super().head(key)

        def put(self, key, source, **options):
            asked.append("put")
            return super().put(key, source, **options)

    desk.storage = Asked(desk.folder)
    _, ids = desk.announce(vonage.add_file(), format="mp3")
    desk.run(ids)
    assert asked == ["put", "head", "put"]  # the audio, the store's word for it, the sidecar


def test_a_damaged_object_under_the_key_is_not_taken_for_the_recording(desk, vonage):
    file = vonage.add_file()
    event, ids = desk.announce(file, format="mp3")
    put_there(desk, event, file.content)
    (desk.folder / desk.key(event)).write_bytes(file.content[:-1] + b"?")
    desk.run(ids)
    (copy,) = desk.find(event).copies
    assert copy.state is State.WAITING
    assert "damaged" in copy.error


# --- Leases -----------------------------------------------------------------------------------------------------------


def test_a_lease_that_is_lost_in_mid_transfer_stops_it_and_writes_nothing(desk, vonage, meanwhile, row_of):
    file = vonage.add_file(size=500_000)
    _, ids = desk.announce(file)
    successor = []

    def taken_over():
        desk.clock.move(61)
        successor.append(desk.leases.claim(ids[0]))
        desk.heartbeat.beat()

    meanwhile.before = taken_over
    desk.run(ids)
    assert desk.files() == {}
    assert row_of(ids[0])["token"] == successor[0].token
    assert (desk.hooks.stored, desk.hooks.failed) == ([], [])


def test_a_lease_that_is_lost_after_it_writes_nothing_more(desk, vonage, meanwhile, row_of):
    event, ids = desk.announce(vonage.add_file())
    successor = []

    def taken_over():
        desk.clock.move(61)
        successor.append(desk.leases.claim(ids[0]))
        desk.heartbeat.beat()

    meanwhile.after = taken_over
    desk.run(ids)
    assert desk.files().keys() == {desk.key(event)}  # the successor will settle it
    assert row_of(ids[0])["token"] == successor[0].token
    assert desk.hooks.stored == []


@pytest.mark.parametrize("fault", [None, "500"])
def test_a_loss_that_nobody_noticed_is_fenced_off_at_the_end(desk, vonage, meanwhile, row_of, fault):
    _, ids = desk.announce(vonage.add_file())
    meanwhile.after = lambda: (desk.clock.move(61), desk.leases.claim(ids[0]), fault and _fail())
    desk.run(ids)
    assert row_of(ids[0])["state"] == "fetching"
    assert (desk.hooks.stored, desk.hooks.failed) == ([], [])


def _fail():
    raise StorageUnavailable("too late")


def test_a_plugins_key_that_changes_between_attempts_is_asked_once(desk, vonage, meanwhile):
    names = iter("abcdefgh")
    desk.hooks.key = lambda recording: f"{next(names)}/{recording.recording_uuid}"
    meanwhile.after = crash
    event, ids = desk.announce(vonage.add_file())
    with pytest.raises(Crash):
        desk.run(ids)
    meanwhile.after = Meanwhile.after
    desk.clock.move(61)
    desk.run(ids)
    key = desk.find(event).copies[0].key
    assert desk.files().keys() == {key, f"{key}.json"}


# --- A database that goes away ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("failing", "state"), [(False, State.STORED), (True, State.WAITING)])
def test_an_outcome_waits_for_a_database_that_is_away(desk, vonage, meanwhile, database, failing, state):
    pauses = []

    def go_away():
        database.away = True
        if failing:
            _fail()

    def pause(seconds):
        pauses.append(seconds)
        database.away = len(pauses) < 3

    meanwhile.after = go_away
    file = vonage.add_file()
    event, ids = desk.announce(file)
    dataclasses.replace(desk.retrieval, pause=pause).archive(desk.leases.claim(ids[0]))
    assert desk.find(event).state is state
    assert pauses == [0.5, 1, 2]
    assert file.requests == 1
    assert len(desk.hooks.stored + desk.hooks.failed) == 1


@pytest.mark.parametrize(("failing", "state"), [(False, State.STORED), (True, State.WAITING)])
def test_an_outcome_whose_commit_was_not_answered_counts_and_is_told_to_the_plugins(
    desk, vonage, meanwhile, database, failing, state
):
    def cut():
        database.cut = True
        if failing:
            _fail()

    meanwhile.after = cut
    event, ids = desk.announce(vonage.add_file())
    dataclasses.replace(desk.retrieval, pause=lambda seconds: None).archive(desk.leases.claim(ids[0]))
    assert desk.find(event).state is state
    assert len(desk.hooks.stored + desk.hooks.failed) == 1


def test_a_database_that_stays_away_costs_an_attempt_and_nothing_else(desk, vonage, meanwhile, database):
    meanwhile.after = lambda: setattr(database, "away", True)
    event, ids = desk.announce(vonage.add_file(), format="mp3")
    desk.run(ids)
    assert sum(desk.pauses) > 60
    database.away, meanwhile.after = False, Meanwhile.after
    assert desk.find(event).state is State.FETCHING
    assert desk.retry(event).state is State.STORED


def test_a_database_that_is_away_before_the_claim_is_told_to_the_caller(desk, vonage, database):
    _, ids = desk.announce(vonage.add_file())
    database.away = True
    with pytest.raises(CatalogueUnavailable):
        desk.run(ids)


# --- Work that hangs --------------------------------------------------------------------------------------------------


class HangsOnce(LocalStorage):
    """A folder whose first `put` reads a little and then waits for `go_on`."""

    def __init__(self, root):
        super().__init__(root)
        self.hangs, self.go_on = threading.Event(), threading.Event()

    def put(self, key, source, **options):
        if not self.hangs.is_set():
            with source.open() as stream:
                stream.read(10)
            self.hangs.set()
            self.go_on.wait(30)
        return super().put(key, source, **options)


def test_a_copy_whose_put_hangs_is_made_by_another_worker(desk, vonage):
    seconds = [0.0]
    heartbeat = Heartbeat(desk.leases, backoff=lambda attempts: 10.0, ticks=lambda: seconds[0])
    first, desk.storage = dataclasses.replace(desk.retrieval, heartbeat=heartbeat), HangsOnce(desk.folder)
    file = vonage.add_file()
    event, (copy_id,) = desk.announce(file)
    worker = threading.Thread(target=first.archive, args=[desk.leases.claim(copy_id)])
    worker.start()
    assert desk.storage.hangs.wait(30)
    seconds[0] = 600.0  # ten leases
    heartbeat.beat()
    assert (desk.find(event).state, desk.due_ids()) == (State.WAITING, [])
    assert "moved nothing for 600 s" in desk.find(event).copies[0].error
    desk.clock.move(10)
    desk.run([copy_id])
    stored = desk.find(event)
    assert (stored.state, stored.copies[0].attempts) == (State.STORED, 2)
    desk.storage.go_on.set()
    worker.join(30)
    assert not worker.is_alive()
    assert desk.find(event) == stored
    heartbeat.release_all()
