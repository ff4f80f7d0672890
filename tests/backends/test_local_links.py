"""The folder backend and symbolic links: the root may be one, what lies below it is never reached through one."""

from __future__ import annotations

from pathlib import Path

import pytest

from backends.local.drafts import Drafts, Way
from backends.local.storage import LocalStorage
from plugins.fakes import FakeSource
from recordings.errors import StorageConfigurationError
from recordings.storage import PutResult

KEY = "2026/11/22/CON-1/r.mp3"


def put(store: LocalStorage, source: FakeSource, key: str = KEY) -> PutResult:
    return store.put(key, source, content_type="audio/mpeg", metadata={})


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "not" / "yet there"


@pytest.fixture(params=list(Way), ids=lambda way: way.name)
def store(request: pytest.FixtureRequest, root: Path) -> LocalStorage:
    return LocalStorage(root, drafts=Drafts(way=request.param))


def test_symbolic_links_inside_lead_nowhere(store: LocalStorage, root: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "r.mp3").write_text("secret")
    root.mkdir(parents=True)
    (root / "folder").symlink_to(outside)
    (root / "file.mp3").symlink_to(outside / "r.mp3")
    source = FakeSource(1)
    for act in (store.head, store.get, store.delete, lambda key: put(store, source, key)):
        with pytest.raises(StorageConfigurationError, match="symbolic link"):
            act("folder/r.mp3")
    for act in (store.head, store.get, lambda key: put(store, source, key)):
        with pytest.raises(StorageConfigurationError, match="symbolic link"):
            act("file.mp3")
    assert source.opens == 0
    assert (outside / "r.mp3").read_text() == "secret"


def test_a_symbolic_link_to_another_folder_of_the_archive_is_not_followed_either(
    store: LocalStorage, root: Path
) -> None:
    put(store, FakeSource(3), "2026/call/r.mp3")
    (root / "2025").symlink_to("2026")
    (root / "2026" / "alias").symlink_to("call")
    for key in ("2025/call/r.mp3", "2026/alias/r.mp3"):
        for act in (store.head, store.get, store.delete, lambda key: put(store, FakeSource(1), key)):
            with pytest.raises(StorageConfigurationError, match="symbolic link"):
                act(key)
    assert store.head("2026/call/r.mp3").size == 3


@pytest.mark.parametrize("place", [None, "/elsewhere", OSError("no /proc here")])
def test_where_the_system_does_not_tell_where_a_folder_lies_it_is_entered_step_by_step(
    store: LocalStorage, root: Path, monkeypatch: pytest.MonkeyPatch, place: object
) -> None:
    def readlink(path: str) -> object:
        if isinstance(place, OSError):
            raise place
        return place

    monkeypatch.setattr("backends.local.tree.os.readlink", readlink)
    put(store, FakeSource(3), "2026/call/r.mp3")
    assert store.head("2026/call/r.mp3").size == 3
    (root / "2025").symlink_to("2026")
    with pytest.raises(StorageConfigurationError, match="symbolic link"):
        store.head("2025/call/r.mp3")


def test_the_root_itself_may_be_a_link(tmp_path: Path) -> None:
    (tmp_path / "volume").mkdir()
    (tmp_path / "root").symlink_to("volume")
    put(LocalStorage(tmp_path / "root"), FakeSource(1))
    assert (tmp_path / "volume" / KEY).exists()


def test_a_root_that_is_led_elsewhere_is_followed_at_once(tmp_path: Path) -> None:
    (tmp_path / "old").mkdir()
    (tmp_path / "new").mkdir()
    (tmp_path / "root").symlink_to("old")
    store = LocalStorage(tmp_path / "root")
    put(store, FakeSource(1))
    (tmp_path / "next").symlink_to("new")
    (tmp_path / "next").rename(tmp_path / "root")
    put(store, FakeSource(2))
    assert store.head(KEY).size == 2
    assert [(tmp_path / name / KEY).stat().st_size for name in ("old", "new")] == [1, 2]


def test_a_folder_that_becomes_a_link_between_two_puts_is_refused(tmp_path: Path) -> None:
    store = LocalStorage(tmp_path / "root")
    put(store, FakeSource(1))
    (tmp_path / "root" / "2026").rename(tmp_path / "moved")
    (tmp_path / "root" / "2026").symlink_to(tmp_path / "moved")
    for act in (store.head, store.get, lambda key: put(store, FakeSource(2), f"{key}.json")):
        with pytest.raises(StorageConfigurationError, match="symbolic link"):
            act(KEY)
    assert [path.name for path in (tmp_path / "moved").rglob("*.*3*")] == ["r.mp3"]
