"""The folder backend: URLs, what lies on the disk, what the operating system refuses, and what was left behind."""

from __future__ import annotations

import contextlib
import errno
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from backends.local import drafts
from backends.local.drafts import Drafts, Way
from backends.local.errors import MEANINGS
from backends.local.storage import LocalStorage
from plugins.fakes import FakeSource, body, sha256_of
from recordings.errors import (
    InvalidKey,
    ObjectNotFound,
    StorageConfigurationError,
    StoragePermissionError,
    StorageUnavailable,
)
from recordings.storage import PutResult

KEY = "2026/11/22/CON-1/r.mp3"
LABELS = {"recording_uuid": "r", "from": "\u00e9"}
MIB = 1024 * 1024
WAYS = list(Way)


def put(store: LocalStorage, source: FakeSource, key: str = KEY) -> PutResult:
    return store.put(key, source, content_type="audio/mpeg", metadata=LABELS)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "not" / "yet there"


@pytest.fixture(params=WAYS, ids=lambda way: way.name)
def store(request: pytest.FixtureRequest, root: Path) -> LocalStorage:
    return LocalStorage(root, drafts=Drafts(way=request.param))


# --- URLs ---


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("file:///srv/recordings", "/srv/recordings"),
        ("file://localhost/srv/a%20b", "/srv/a b"),
        ("file:/srv", "/srv"),
        ("file:///caf%C3%A9/%23%3F", "/caf\u00e9/#?"),
        ("file:///%FF", os.fsdecode(b"/\xff")),
    ],
)
def test_a_url_names_an_absolute_folder(url: str, path: str) -> None:
    assert LocalStorage.from_url(url, {}).root == Path(path)


@pytest.mark.parametrize(
    ("url", "advice"),
    [
        ("file://var/recordings", "file:///var/recordings"),
        ("file:var/recordings", "file:///var/recordings"),
        ("file://", "three slashes"),
        ("file:///srv?x=1", "%3F"),
        ("file:///srv#1", "%23"),
        ("file:///srv%00", "more than a path"),
    ],
)
def test_a_wrong_url_says_what_to_write(url: str, advice: str) -> None:
    with pytest.raises(StorageConfigurationError) as caught:
        LocalStorage.from_url(url, {})
    assert advice in str(caught.value)
    assert "STORAGE_URL" in str(caught.value)


# --- what lies on the disk ---


def test_a_file_for_each_key_readable_by_the_group_alone(store: LocalStorage, root: Path) -> None:
    old = os.umask(0o022)
    try:
        result = put(store, FakeSource(MIB + 1, seed=3))
    finally:
        os.umask(old)
    file = root / KEY
    assert result == PutResult(MIB + 1, sha256_of(3, MIB + 1), True, file.as_uri())
    assert file.read_bytes() == body(3, 0, MIB + 1)
    assert file.stat().st_mode & 0o777 == 0o640
    assert {folder.stat().st_mode & 0o777 for folder in file.parents[:4]} == {0o750}
    assert [path.name for path in root.rglob("*") if path.is_file()] == ["r.mp3"]


def test_attributes_tell_type_digest_and_metadata(store: LocalStorage) -> None:
    put(store, FakeSource(10, seed=1))
    info = store.head(KEY)
    assert (info.content_type, info.checksums, info.metadata) == (
        "audio/mpeg",
        {"sha256": sha256_of(1, 10)},
        LABELS,
    )


def test_without_attributes_the_size_alone_is_told(root: Path) -> None:
    bare = LocalStorage(root, xattrs=False)
    put(bare, FakeSource(10))
    info = bare.head(KEY)
    assert (info.size, info.content_type, info.checksums, info.metadata) == (10, None, {}, {})
    assert LocalStorage(root).head(KEY).metadata == {}
    assert put(bare, FakeSource(10)) == PutResult(10, None, False, (root / KEY).as_uri())


def test_metadata_too_large_for_attributes_does_not_lose_the_audio(root: Path) -> None:
    store = LocalStorage(root)
    store.put(KEY, FakeSource(10), content_type="audio/mpeg", metadata={"note": "x" * 100_000})
    assert store.head(KEY).metadata == {}
    assert store.head(KEY).content_type == "audio/mpeg"


def test_a_source_shorter_than_promised_leaves_no_zeros_behind(store: LocalStorage, root: Path) -> None:
    source = FakeSource(1000)
    source.size = 2 * MIB  # so much that room is reserved for it
    put(store, source)
    assert (root / KEY).stat().st_size == 1000


def test_list_shows_no_drafts_no_links_and_nothing_outside_the_grammar(store: LocalStorage, root: Path) -> None:
    put(store, FakeSource(1))
    (root / ".hidden").write_text("x")
    (root / "lost+found").mkdir()
    (root / "lost+found" / "a").write_text("x")
    (root / "link.mp3").symlink_to("/etc/hostname")
    (root / "folder").symlink_to("/etc")
    os.mkfifo(root / "pipe")
    assert [info.key for info in store.list()] == [KEY]
    assert [info.key for info in LocalStorage(root / "nowhere").list()] == []


# --- the way in ---


@pytest.mark.parametrize("key", ["../escape", "/etc/passwd", "a/../../b", "", "a\0b", ".incoming/x"])
def test_an_illegal_key_reaches_no_disk(store: LocalStorage, root: Path, key: str) -> None:
    for act in (store.head, store.get, store.delete, lambda key: put(store, FakeSource(1), key)):
        with pytest.raises(InvalidKey):
            act(key)
    assert not root.exists()


def test_a_pipe_under_a_key_does_not_hang(store: LocalStorage, root: Path) -> None:
    root.mkdir(parents=True)
    os.mkfifo(root / "pipe")
    with pytest.raises(StorageConfigurationError, match="move it away"):
        store.head("pipe")


def test_a_file_where_a_folder_belongs_is_named(store: LocalStorage) -> None:
    put(store, FakeSource(1), "a")
    with pytest.raises(StorageConfigurationError, match="stands where a folder belongs") as caught:
        put(store, FakeSource(1), "a/b")
    assert caught.value.blocked
    put(store, FakeSource(1), "c/d")
    with pytest.raises(StorageConfigurationError, match="A folder stands where a file belongs"):
        put(store, FakeSource(1), "c")


def test_a_root_that_cannot_be_made_is_a_configuration_fault(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    for act in (LocalStorage.check, lambda store: put(store, FakeSource(1))):
        with pytest.raises(StorageConfigurationError) as caught:
            act(LocalStorage(tmp_path / "file" / "root"))
        assert str(tmp_path / "file" / "root") in str(caught.value)
        assert caught.value.blocked


@pytest.mark.parametrize(
    ("number", "kind", "blocked"),
    [
        (errno.ENOSPC, StorageUnavailable, False),
        (errno.EDQUOT, StorageUnavailable, False),
        (errno.EROFS, StorageUnavailable, False),
        (errno.EIO, StorageUnavailable, False),
        (errno.ESTALE, StorageUnavailable, False),
        (errno.EACCES, StoragePermissionError, True),
        (errno.EPERM, StoragePermissionError, True),
        (errno.ENOTDIR, StorageConfigurationError, True),
    ],
)
def test_what_the_system_refuses_is_sorted_by_who_can_mend_it(number: int, kind: type, blocked: bool) -> None:
    error_class, mend = MEANINGS[number]
    assert (error_class, error_class.blocked, error_class.retryable) == (kind, blocked, True)
    assert mend.endswith(".")


# --- faults made for real ---


def run_aside(code: str, *arguments: object) -> str:
    """What a Python process of its own prints: for limits and user ids that would not leave this one again."""
    command = [sys.executable, "-c", code, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, cwd=Path(__file__).parents[2])
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


TELL = """
import os, resource, sys
from pathlib import Path
from backends.local.storage import LocalStorage
from plugins.fakes import FakeSource
def tell(act):
    try:
        act()
    except Exception as error:
        print(type(error).__name__, error.blocked, error)
    else:
        print("fine")
root = Path(sys.argv[1])
"""


def test_a_folder_of_another_user_is_a_matter_of_rights(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root, to become another user")
    (tmp_path / "root").mkdir(mode=0o700)
    for folder in (tmp_path, *tmp_path.parents[:-2]):
        folder.chmod(folder.stat().st_mode | 0o011)
    code = TELL + "os.setuid(65534)\ntell(LocalStorage(root).check)"
    printed = run_aside(code, tmp_path / "root")
    assert printed.startswith(f"StoragePermissionError True {tmp_path}/root")
    assert "Let the user with id 65534 write there" in printed


@pytest.mark.parametrize("promised", [True, False])
def test_a_limit_on_the_size_leaves_nothing_behind(root: Path, promised: bool) -> None:
    code = TELL + (
        "resource.setrlimit(resource.RLIMIT_FSIZE, (2 << 20, 2 << 20))\n"
        "source = FakeSource(5 << 20, promised=sys.argv[2] == 'True')\n"
        "tell(lambda: LocalStorage(root).put('a', source, content_type='audio/mpeg', metadata={}))\n"
        "print(len(source.reads))"
    )
    printed, reads = run_aside(code, root, promised).splitlines()
    assert printed.startswith("StorageConfigurationError True")
    assert "ulimit" in printed
    assert (int(reads) == 0) is promised  # a promised length is known to be too much before the download
    assert [path for path in root.rglob("*") if path.is_file()] == []


@pytest.fixture
def small_volume(tmp_path: Path) -> Iterator[Path]:
    """A real file system of 4 MiB."""
    volume = tmp_path / "small"
    volume.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=4m", "tapekeeper-test", str(volume)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("cannot mount a small file system here (needs root); the size limit above stands in for it")
    yield volume
    subprocess.run(["umount", str(volume)], check=True)


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.name)
@pytest.mark.parametrize("promised", [True, False])
def test_a_full_disk_can_be_tried_again_and_leaves_nothing(small_volume: Path, way: Way, promised: bool) -> None:
    store = LocalStorage(small_volume, drafts=Drafts(way=way))
    source = FakeSource(8 * MIB, promised=promised)
    with pytest.raises(StorageUnavailable, match="Free some space") as caught:
        put(store, source)
    assert caught.value.retryable
    assert not caught.value.blocked
    assert (source.reads == []) is promised
    assert [path for path in small_volume.rglob("*") if path.is_file()] == []
    assert put(store, FakeSource(3 * MIB)).created


# --- the ways ---


def test_the_best_way_is_found_by_trying_and_leaves_nothing(root: Path) -> None:
    chosen = Drafts()
    LocalStorage(root, drafts=chosen).check()
    assert chosen.way in WAYS
    assert [path for path in root.rglob("*") if path.is_file()] == []


def test_a_source_error_removes_the_draft(store: LocalStorage, root: Path) -> None:
    with pytest.raises(ConnectionResetError):
        put(store, FakeSource(3 * MIB, error=ConnectionResetError("cut"), fails_at=2 * MIB))
    assert [path for path in root.rglob("*") if path.is_file()] == []


@pytest.mark.parametrize("way", [Way.LINK, Way.RENAME], ids=lambda way: way.name)
def test_check_sweeps_what_dead_writers_left_a_day_ago(root: Path, way: Way) -> None:
    incoming = root / drafts.INCOMING
    incoming.mkdir(parents=True)
    for name, age in (("old.part", 25 * 3600), ("new.part", 23 * 3600)):
        (incoming / name).write_text("x")
        os.utime(incoming / name, (time.time() - age, time.time() - age))
    LocalStorage(root, drafts=Drafts(way=way)).check()
    assert os.listdir(incoming) == ["new.part"]


def test_what_a_death_in_mid_trial_or_mid_check_leaves_is_cleared_away(root: Path) -> None:
    root.mkdir(parents=True, exist_ok=True)
    for name in (drafts.LINK_TEST, f"{drafts.CHECK_FILE}0"):
        (root / name).write_text("")
        os.utime(root / name, (0, 0))
    LocalStorage(root).check()
    assert [path for path in root.rglob("*") if path.is_file()] == []


def test_the_file_of_a_check_whose_process_died_goes_at_once_and_that_of_a_living_one_stays(root: Path) -> None:
    root.mkdir(parents=True)
    dead, living = (root / f"{drafts.CHECK_FILE}{name}" for name in ("dead", "living"))
    dead.write_text("just now")
    with living.open("wb") as file:
        drafts.hold(file.fileno())
        LocalStorage(root).check()
        assert list(root.iterdir()) == [living]
    LocalStorage(root).check()
    assert list(root.iterdir()) == []


def test_the_lock_lets_one_writer_after_the_other_rename(root: Path) -> None:
    store = LocalStorage(root, drafts=Drafts(way=Way.RENAME))
    gate = threading.Barrier(8)
    with ThreadPoolExecutor(8) as pool:
        results = list(
            pool.map(lambda n: put(store, FakeSource(9, seed=n, on_read=lambda p: p or gate.wait(30))), range(8))
        )
    assert [result.created for result in results].count(True) == 1
    assert os.listdir(root / drafts.INCOMING) == []


def test_the_lock_of_a_dead_writer_is_removed_and_the_next_try_goes_through(root: Path) -> None:
    pauses: list[float] = []
    store = LocalStorage(root, drafts=Drafts(way=Way.RENAME, sleep=pauses.append, lock_wait=1))
    put(store, FakeSource(1), "a")
    where = root.stat()
    (root / drafts.INCOMING / f"{where.st_dev:x}-{where.st_ino:x}-b.lock").write_text("")
    with pytest.raises(StorageUnavailable, match="lock of a dead writer was removed"):
        put(store, FakeSource(1), "b")
    assert sum(pauses) == pytest.approx(1, abs=0.05)
    assert put(store, FakeSource(1), "b").created


def test_a_missing_key_is_said_at_the_call(store: LocalStorage) -> None:
    put(store, FakeSource(1), "another")
    for act in (store.head, store.get):
        with pytest.raises(ObjectNotFound, match=f"Nothing is stored under '{KEY}' in"):
            act(KEY)


def test_a_missing_root_is_said_as_such(store: LocalStorage, root: Path) -> None:
    for act in (store.head, store.get):
        with pytest.raises(ObjectNotFound, match=f"Nothing is stored in {root}: there is no such folder"):
            act(KEY)


def _open_below(root: Path) -> list[str]:
    """What this process holds open in the store's folder. Other tests' descriptors come and go meanwhile."""
    targets = []
    for link in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # the descriptor that lists the folder is closed already
            targets.append(os.readlink(link))
    return [target for target in targets if target.startswith(str(root))]


def test_no_descriptor_is_left_open(store: LocalStorage, root: Path) -> None:
    put(store, FakeSource(1), "warm/up")
    with (root / "warm" / "up").open("rb"):
        assert _open_below(root), "this way of looking sees an open file"
    put(store, FakeSource(10))
    put(store, FakeSource(10))
    with pytest.raises(ValueError, match="cut"):
        put(store, FakeSource(10, error=ValueError("cut")), "x")
    store.head(KEY)
    assert b"".join(store.get(KEY, 1, 4)) == body(0, 1, 4)
    next(iter(store.list()))
    store.check()
    store.delete(KEY)
    assert _open_below(root) == []
