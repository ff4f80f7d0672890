"""The sanity check finds what a storage lost, changed or has too much, and a repair never makes anything worse."""

from __future__ import annotations

import os
import tracemalloc

import pytest
from sqlalchemy import insert

from backends.local.storage import LocalStorage
from recordings.archive.replicate import Replicator
from recordings.archive.sources import BytesSource
from recordings.care.repair import Repair, Unrepairable
from recordings.care.verify import NoSuchRecording, Verification
from recordings.catalogue import search
from recordings.catalogue.tables import copies, recordings
from recordings.errors import StorageUnavailable
from recordings.model import State
from recordings.storage import ObjectInfo

SECOND = "file:///second"


@pytest.fixture
def check(desk):
    """`check(**options)`: every finding, of copies and of objects, as (kind, key)."""

    def run(**options):
        verification = Verification(desk.database, desk.storages, **options)
        findings = [finding for _, finding in verification.copies() if finding] + list(verification.strays())
        return [(finding.kind, finding.key) for finding in findings]

    return run


@pytest.fixture
def second(desk, tmp_path):
    """The desk keeps a second copy of everything."""
    desk.storages[SECOND] = LocalStorage(tmp_path / "second")
    return tmp_path / "second"


@pytest.fixture
def stored(desk, vonage):
    """`stored(**more)`: a recording that was archived a moment ago; its key."""

    def make(**more):
        recording = desk.archive(vonage.add_file(**more))
        assert recording.state is State.STORED
        return recording.copies[0].key

    return make


def spoil(path, data):
    """Other bytes under the same name, with the attributes of the old ones: what a bad disk does."""
    with path.open("r+b") as file:
        file.truncate()
        file.write(data)


def put(backend, key, data=b"x", **metadata):
    backend.put(key, BytesSource(data, "audio/mpeg"), content_type="audio/mpeg", metadata=metadata)


# --- Copies ---


def test_all_is_good(stored, check):
    for _ in range(3):
        stored()
    assert check() == check(deep=True) == []


def test_a_lost_object_is_missing(desk, stored, check):
    key = stored()
    (desk.folder / key).unlink()
    assert check() == [("missing", key)]


def test_a_cut_object_has_another_size(desk, stored, check):
    key = stored()
    os.truncate(desk.folder / key, 100)
    assert check() == [("size", key)]


def test_a_spoilt_object_of_the_same_size_shows_when_it_is_read(desk, stored, check):
    key = stored(content=b"OggS\0" + b"a" * 500)
    spoil(desk.folder / key, b"OggS\0" + b"b" * 500)
    assert check() == []
    assert check(deep=True) == [("checksum", key)]


def test_another_object_under_the_key_shows_without_reading(desk, stored, check):
    key = stored(content=b"OggS\0" + b"a" * 500)
    desk.storage.delete(key)
    put(desk.storage, key, b"OggS\0" + b"b" * 500)
    assert check() == [("checksum", key)]


def test_a_storage_that_is_not_configured_any_more_is_a_finding(desk, stored, check):
    key = stored()
    del desk.storages[next(iter(desk.storages))]
    assert check() == [("unconfigured", key)]


class Broken(LocalStorage):
    def head(self, key):
        raise StorageUnavailable("the store is down")

    def list(self, prefix=""):
        yield from super().list(prefix)
        raise StorageUnavailable("the store is down")


def test_a_store_that_is_away_is_not_an_empty_one(desk, stored, check):
    key = stored()
    desk.storage = Broken(desk.folder)
    assert check() == [("unreachable", key), ("unreachable", "")]


def test_copies_that_are_not_stored_are_not_looked_at(desk, vonage, check):
    desk.announce(vonage.add_file())
    assert check() == []


def test_it_goes_on_after_a_recording(desk, stored, second):
    keys = [stored() for _ in range(5)]
    verification = Verification(desk.database, desk.storages)
    first = [copy for copy, _ in verification.copies()]
    assert [copy.key for copy in first] == [key for key in keys for _ in range(2)]
    row = verification.row_of(first[3].recording_uuid)
    assert [copy for copy, _ in verification.copies(row)] == first[4:]
    assert verification.count(row) == 6
    with pytest.raises(NoSuchRecording, match="flask recordings list"):
        verification.row_of("unknown")


# --- Objects ---


def test_an_unknown_object_is_an_orphan_and_so_is_a_lone_sidecar(desk, stored, check):
    stored()
    put(desk.storage, "2020/01/01/old.mp3")
    put(desk.storage, "2020/01/01/old.mp3.json")  # belongs to the orphan
    put(desk.storage, "2020/01/01/gone.mp3.json")
    assert check() == [("orphan", "2020/01/01/gone.mp3.json"), ("orphan", "2020/01/01/old.mp3")]


def test_a_known_recording_under_another_key_is_a_stray(desk, stored, check):
    key = stored()
    uuid = key.rpartition("/")[2].removesuffix(".mp3")
    put(desk.storage, f"elsewhere/{uuid}.mp3")
    put(desk.storage, "elsewhere/unnamed", recording_uuid=uuid)
    assert check() == [("stray", f"elsewhere/{uuid}.mp3"), ("stray", "elsewhere/unnamed")]


def test_an_object_that_a_worker_is_about_to_note_is_no_finding(desk, vonage, check):
    event, _ = desk.announce(vonage.add_file())
    put(desk.storage, desk.key(event), recording_uuid=event.recording_uuid)
    assert check() == []


class Endless(LocalStorage):
    """A store with a great many objects, whose listing costs no memory."""

    def list(self, prefix=""):
        for number in range(20_000):
            yield ObjectInfo(key=f"{number:08}/audio.mp3", size=1)


def test_memory_does_not_grow_with_the_storage(desk, database, clock):
    desk.storage = Endless(desk.folder)
    (storage,) = desk.storages
    with database.write() as connection:
        row = {"application_id": "a", "conversation_uuid": "c", "conversation_key": "c", "recording_url": "u"}
        row |= {"received_at": clock(), "origin": "voice", "empty": False}
        connection.execute(insert(recordings), [row | {"recording_uuid": f"r-{n}"} for n in range(20_000)])
        copy = {"storage": storage, "state": "stored", "attempts": 1, "due_at": None}
        rows = [copy | {"recording_id": n + 1, "key": f"{n:08}/audio.mp3"} for n in range(20_000)]
        connection.execute(insert(copies), rows)
    verification = Verification(database, desk.storages)
    tracemalloc.start()
    assert list(verification.strays()) == []
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1_300_000  # the keys alone would take more


# --- Repair ---


@pytest.fixture
def repair(desk):
    return Repair(
        storages=desk.storages,
        leases=desk.leases,
        policy=desk.retrieval.policy,
        replicator=Replicator(desk.storages, lambda url: None),
        carry_out=desk.retrieval.carry_out,
        clock=desk.clock,
    )


@pytest.fixture
def mend(desk, repair):
    """Check deep, and mend each finding; what was done."""

    def run():
        checked = list(Verification(desk.database, desk.storages, deep=True).copies())
        return [repair.mend(copy) for copy, finding in checked if finding]

    return run


@pytest.mark.parametrize("damage", ["gone", "cut", "spoilt"])
def test_it_is_fetched_again_while_vonage_keeps_it(desk, stored, mend, check, damage):
    key = stored()
    path, good = desk.folder / key, (desk.folder / key).read_bytes()
    if damage == "gone":
        path.unlink()
    else:
        spoil(path, good[:50] if damage == "cut" else good[::-1])
    (report,) = mend()
    assert "A worker fetches it again" in report
    desk.run(desk.due_ids())
    assert path.read_bytes() == good
    assert [kind for kind, _ in check(deep=True)] == ([] if damage == "gone" else ["aside"])


def test_a_damaged_object_is_kept_aside(desk, stored, mend):
    key = stored()
    spoil(desk.folder / key, b"half of it")
    (report,) = mend()
    (aside,) = (desk.folder / "damaged").iterdir()
    assert aside.read_bytes() == b"half of it"
    assert aside.name in report


@pytest.mark.parametrize("which", [0, 1])
def test_it_is_copied_from_another_storage_when_vonage_has_it_no_more(desk, stored, second, mend, check, which):
    key = stored()
    folder, good = [desk.folder, second][which], (second / key).read_bytes()
    spoil(folder / key, b"damaged")
    desk.clock.move(40 * 86400)
    (report,) = mend()
    assert report.endswith("It was copied from another storage.")
    assert (folder / key).read_bytes() == good
    assert [kind for kind, _ in check(deep=True)] == ["aside"]


def test_without_any_good_source_nothing_is_touched(desk, stored, second, mend, check):
    key = stored()
    spoil(desk.folder / key, b"damaged")
    spoil(second / key, b"damaged as well")
    desk.clock.move(40 * 86400)
    with pytest.raises(Unrepairable, match="nothing was changed"):
        mend()
    assert (desk.folder / key).read_bytes() == b"damaged"
    assert [kind for kind, _ in check()] == ["size", "size"]


def test_an_object_that_reads_back_right_is_left_alone(desk, stored, repair):
    key = stored()
    ((copy, finding),) = Verification(desk.database, desk.storages).copies()
    assert finding is None
    with pytest.raises(Unrepairable, match="left alone"):
        repair.mend(copy)
    assert (desk.folder / key).exists()


class NoRoom(LocalStorage):
    def put(self, key, source, **options):
        raise StorageUnavailable("the disk is full")


def test_what_cannot_be_moved_aside_is_not_deleted(desk, stored, mend, check):
    key = stored()
    spoil(desk.folder / key, b"damaged")
    desk.storage = NoRoom(desk.folder)
    with pytest.raises(StorageUnavailable):
        mend()
    assert (desk.folder / key).read_bytes() == b"damaged"
    assert check() == [("size", key)]


class Crashes(LocalStorage):
    """A process that dies in the middle of a repair: after the delete."""

    def delete(self, key):
        super().delete(key)
        raise KeyboardInterrupt


def test_a_crash_after_the_delete_leaves_no_copy_that_is_called_stored(desk, stored, mend):
    key = stored()
    good = (desk.folder / key).read_bytes()
    spoil(desk.folder / key, b"damaged")
    desk.storage = Crashes(desk.folder)
    with pytest.raises(KeyboardInterrupt):
        mend()
    ((copy,),) = (row.recording.copies for row in search.walk(desk.database, search.RecordingFilter()))
    assert copy.state is not State.STORED
    desk.storage = LocalStorage(desk.folder)
    desk.clock.move(61)  # the lease of the dead process runs out
    desk.run(desk.due_ids())
    assert (desk.folder / key).read_bytes() == good


def test_two_repairs_at_once_do_it_once(desk, stored, repair):
    key = stored()
    (desk.folder / key).unlink()
    ((copy, _),) = Verification(desk.database, desk.storages).copies()
    repair.mend(copy)
    with pytest.raises(Unrepairable, match="Another process"):
        repair.mend(copy)
