"""A copy is made out of another copy, of whichever can be read, and never counts before the new store proves it."""

from __future__ import annotations

import dataclasses
import hashlib
import threading

import pytest

from backends.local.storage import LocalStorage
from recordings.archive import sidecar
from recordings.archive.heartbeat import HeldLease
from recordings.archive.replicate import Replicator
from recordings.archive.sources import BytesSource, CopyUnreadable
from recordings.catalogue.leases import Claim
from recordings.errors import ChecksumMismatch, LeaseLost, ObjectExists, StorageConfigurationError
from recordings.model import Copy, State

AUDIO = b"\xff\xfb" + bytes(1000)
KEY = "2026/r-1.mp3"
OLD, NEW = "file:///old", "file:///new"


@pytest.fixture
def stores(tmp_path, recording):
    """The old store, which has the recording, and the new one, which has nothing."""
    old, new = LocalStorage(tmp_path / "old"), LocalStorage(tmp_path / "new")
    put(old, AUDIO, sidecar.identity(recording()))
    return {OLD: old, NEW: new}


@pytest.fixture
def held(recording):
    digest = hashlib.sha256(AUDIO).hexdigest()
    copy = Copy(OLD, KEY, State.STORED, len(AUDIO), digest, "audio/mpeg", 1, None, None)
    return HeldLease(Claim(1, "token", NEW, 1, recording(copies=(copy,))))


def put(store, data, metadata):
    store.put(KEY, BytesSource(data, "audio/mpeg"), content_type="audio/mpeg", metadata=metadata)


def content(store):
    return b"".join(store.get(KEY))


def test_a_copy_has_the_same_bytes_key_and_format(stores, held):
    stored = Replicator(stores, reopen=None).attempt(held)
    assert (stored.key, stored.kind.format, stored.result.created) == (KEY, "mp3", True)
    assert (stored.result.size, stored.result.sha256) == (len(AUDIO), hashlib.sha256(AUDIO).hexdigest())
    assert content(stores[NEW]) == AUDIO


def test_what_an_earlier_attempt_stored_is_taken_as_it_is(stores, held, recording):
    put(stores[NEW], AUDIO, sidecar.identity(recording()))
    stored = Replicator(stores, reopen=None).attempt(held)
    assert not stored.result.created
    assert content(stores[NEW]) == AUDIO


@pytest.mark.parametrize("metadata", [{}, {"recording_uuid": "r-1"}, {"recording_uuid": "r-2"}])
def test_other_bytes_under_the_key_are_refused_and_left_alone(stores, held, metadata):
    put(stores[NEW], b"other audio", metadata)
    with pytest.raises(ObjectExists):
        Replicator(stores, reopen=None).attempt(held)
    assert content(stores[NEW]) == b"other audio"
    assert [info.key for info in stores[NEW].list()] == [KEY]


class OpensNothing(LocalStorage):
    """Claims that it stored what it never read."""

    def put(self, key, source, *, content_type, metadata):
        return {"size": source.size, "sha256": None, "created": True, "uri": key}


def test_a_store_that_never_opens_the_source_is_not_believed(stores, held, tmp_path):
    stores[NEW] = OpensNothing(tmp_path / "new")
    with pytest.raises(ChecksumMismatch, match="never opened the source"):
        Replicator(stores, reopen=None).attempt(held)


def test_a_lost_lease_stops_before_anything_is_written(stores, held):
    held.let_go()
    with pytest.raises(LeaseLost):
        Replicator(stores, reopen=None).attempt(held)
    assert list(stores[NEW].list()) == []


def test_a_storage_that_is_not_configured_any_more_still_gives_its_copy(stores, held):
    old, opened = stores.pop(OLD), []
    replicator = Replicator(stores, reopen=lambda url: opened.append(url) or old)
    for _ in range(2):
        replicator.attempt(held)
    assert opened == [OLD]
    replicator.close()


def test_every_copy_that_cannot_be_read_is_named(stores, held):
    stores[OLD].delete(KEY)
    with pytest.raises(CopyUnreadable, match=f"The copy in {OLD} cannot be read"):
        Replicator(stores, reopen=None).attempt(held)


def test_a_target_that_is_not_configured_any_more_is_a_fault_of_the_configuration(stores, held):
    del stores[NEW]
    with pytest.raises(StorageConfigurationError, match="STORAGE_URL"):
        Replicator(stores, reopen=None).attempt(held)


def test_a_former_storage_that_hangs_while_it_is_opened_holds_up_neither_another_nor_the_end(stores, held, recording):
    hanging, over, opening = "hanging://x", threading.Event(), threading.Event()

    def reopen(url):
        if url == hanging:
            opening.set()
            over.wait()
        return former

    former = stores.pop(OLD)
    replicator = Replicator(stores, reopen, patience=0)
    (copy,) = held.claim.recording.copies
    of_hanging = HeldLease(Claim(2, "t", NEW, 1, recording(copies=(dataclasses.replace(copy, storage=hanging),))))
    thread = threading.Thread(target=replicator.attempt, args=[of_hanging])
    thread.start()
    assert opening.wait(10)
    with pytest.raises(CopyUnreadable, match="it does not answer"):
        replicator.attempt(of_hanging)
    assert replicator.attempt(held).result.created
    replicator.close()
    over.set()
    thread.join(10)


def test_a_former_storage_that_could_not_be_opened_is_tried_again(stores, held):
    former, faults = stores.pop(OLD), iter([StorageConfigurationError("no such plugin"), None])

    def reopen(url):
        if fault := next(faults):
            raise fault
        return former

    replicator = Replicator(stores, reopen)
    with pytest.raises(CopyUnreadable, match="no such plugin"):
        replicator.attempt(held)
    assert replicator.attempt(held).result.created
