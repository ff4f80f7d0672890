"""A folder keeps room for the catalogue: audio stops before the disk is full, and goes on once there is room."""

from __future__ import annotations

import contextlib
import itertools

import pytest

from backends.local import storage
from backends.local.storage import LocalStorage
from plugins.fakes import FakeSource
from recordings.disk import MIB, free_bytes, reserve
from recordings.errors import StorageConfigurationError, StorageUnavailable
from tests.chaos.mounts import small_disk
from tests.services.databases import NotInstalled
from tests.services.servers import give_up

KEY = "2026/11/22/CON-1/r.mp3"


def put(store, size, key=KEY):
    return store.put(key, FakeSource(size), content_type="audio/mpeg", metadata={"recording_uuid": "r"})


@pytest.mark.parametrize("size", [10, 3 * MIB])
def test_nothing_is_written_or_opened_where_it_would_take_of_the_reserve(tmp_path, size):
    short = [True]
    store = LocalStorage(tmp_path, reserve=lambda total: total if short[0] else 0)
    source = FakeSource(size)
    with pytest.raises(StorageUnavailable, match=r"kept free for the catalogue .* Free some space") as caught:
        store.put(KEY, source, content_type="audio/mpeg", metadata={})
    assert caught.value.retryable
    assert source.opens == 0
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
    short[0] = False
    assert put(store, size).created


def test_the_disk_is_looked_at_again_within_a_long_put(tmp_path):
    looks = itertools.count()
    store = LocalStorage(tmp_path, reserve=lambda total: total if next(looks) >= 3 else 0)
    with pytest.raises(StorageUnavailable, match="kept free"):
        put(store, storage.LOOK + MIB)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_what_is_there_already_needs_no_room(tmp_path):
    put(LocalStorage(tmp_path, reserve=lambda total: 0), 100)
    assert not put(LocalStorage(tmp_path, reserve=lambda total: total), 100).created


def test_the_variable_sets_the_reserve(tmp_path):
    store = LocalStorage.from_url(f"file://{tmp_path}", {"STORAGE_RESERVE_MB": "999999999"})
    with pytest.raises(StorageUnavailable, match="STORAGE_RESERVE_MB"):
        put(store, 100)
    assert put(LocalStorage.from_url(f"file://{tmp_path}", {"STORAGE_RESERVE_MB": "0"}), 100).created


@pytest.mark.parametrize("text", ["-1", "200 MB", "much", "\u0661"])
def test_a_reserve_that_is_no_number_is_refused(tmp_path, text):
    with pytest.raises(StorageConfigurationError, match="STORAGE_RESERVE_MB"):
        LocalStorage.from_url(f"file://{tmp_path}", {"STORAGE_RESERVE_MB": text})


def test_on_a_small_disk_audio_stops_while_there_is_room_for_the_catalogue(tmp_path):
    folder = tmp_path / "disk"
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(small_disk(folder, 24 * 1024))
        except NotInstalled as missing:
            give_up(missing)
        store = LocalStorage(folder / "recordings")
        for number in range(12):  # 18 of 24 MiB are audio then, and 6 are kept
            put(store, 3 * MIB // 2 - 64 * 1024, f"r-{number}.mp3")
        with pytest.raises(StorageUnavailable, match="kept free"):
            put(store, 3 * MIB // 2)
        assert free_bytes(folder) >= reserve(24 * MIB)
        (folder / "catalogue.db").write_bytes(bytes(4 * MIB))  # what SQLite's log may take
