"""The drill of docs/backup.md, with its own commands: back up under load, lose the catalogue, get everything back."""

from __future__ import annotations

import contextlib
import hashlib
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from recordings.archive import integrity
from tests.docs.pages import sources
from tests.services.emulators import gcs_emulator
from tests.services.servers import postgres_server_url, postgres_url  # noqa: F401 - fixtures
from wsgi import create_app

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs/backup.md").read_text()
BACK_UP, RESTORE, BRING_BACK, REBUILD, PG_DUMP, PG_RESTORE = sources(PAGE, "sh")

PAUSE = 0.1  # seconds between two announcements, or an emulator gets more than it can take in

pytestmark = pytest.mark.timeout(400)  # it waits for much, on a machine that may be busy


@pytest.fixture
def type_in(tmp_path):
    """`type_in(block, env)`: a block of the page, as a person types it in a shell, in a folder of the test."""

    def run(block, env):
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        env = env | {"PATH": path, "FLASK_APP": str(ROOT / "wsgi.py")}
        return subprocess.run(
            ["bash", "-ec", block], cwd=tmp_path, env=env, capture_output=True, text=True, timeout=200, check=False
        )

    return run


class Load:
    """Recordings of different lengths that are announced one after the other, from a thread, until the block ends."""

    def __init__(self, vonage, post, gunicorn):
        self._announce = lambda: self._next(vonage, post, gunicorn)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.files = {}  # by recording_uuid; acknowledged

    def _next(self, vonage, post, gunicorn):
        file = vonage.add_file(size=20_000 + 417 * len(self.files))
        self.files[post(gunicorn, file)] = file

    def _run(self):
        while not self._stop.wait(PAUSE):
            self._announce()

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        self._thread.join()


@pytest.fixture(params=["local disk", "object store"])
def store(request):
    """The settings that choose a store."""
    with contextlib.ExitStack() as closing:
        if request.param == "local disk":
            yield {}
        else:
            address = closing.enter_context(gcs_emulator("tapes"))
            yield {"STORAGE_URL": "gs://tapes/calls", "STORAGE_EMULATOR_HOST": address}


def stored(gunicorn, files):
    """Whether all of these are stored."""
    states = {row["recording_uuid"]: row["state"] for row in gunicorn.list_recordings()}
    return all(states.get(recording_uuid) == "stored" for recording_uuid in files)


def lose_catalogue(folder):
    for path in folder.glob("tapekeeper.db*"):
        path.unlink()


def check_everything(gunicorn, files):
    """Each recording is listed once, stored, and its bytes in the store are those that Vonage served."""
    rows = gunicorn.list_recordings()
    assert sorted(row["recording_uuid"] for row in rows) == sorted(files)
    wiring = create_app(gunicorn.env).extensions["tapekeeper"]
    try:
        for row in rows:
            (copy,) = row["copies"]
            content = b"".join(wiring.storages[copy["storage"]].get(copy["key"]))
            assert content == files[row["recording_uuid"]].content
            assert (row["state"], copy["sha256"]) == ("stored", hashlib.sha256(content).hexdigest())
            assert integrity.head(wiring.storages[copy["storage"]], f"{copy['key']}.json") is not None
    finally:
        wiring.close()


def test_every_recording_comes_back_byte_for_byte(deploy, vonage, post, until, type_in, store, tmp_path, own_logging):
    gunicorn, archive = deploy(**store)
    gunicorn.start()
    with Load(vonage, post, gunicorn) as load:
        until(lambda: len(load.files) >= 10, "some recordings are announced")
        before = len(load.files)
        done = type_in(BACK_UP, gunicorn.env)
        assert done.returncode == 0, done.stderr
        assert len(load.files) > before, "the app took recordings in meanwhile"
        before = len(load.files)
        until(lambda: len(load.files) >= before + 10, "more recordings are announced")
    until(lambda: stored(gunicorn, load.files), "all are stored", 120, pause=0.5)
    refused = type_in(RESTORE, gunicorn.env)
    assert refused.returncode == 1, "the app still runs"
    gunicorn.stop()

    lose_catalogue(archive.folder)
    for block in (RESTORE, BRING_BACK):
        done = type_in(block, gunicorn.env)
        assert done.returncode == 0, f"{done.stdout}{done.stderr}"
    check_everything(gunicorn, load.files)

    lose_catalogue(archive.folder)
    done = type_in(REBUILD, gunicorn.env)
    assert done.returncode == 0, f"{done.stdout}{done.stderr}"
    check_everything(gunicorn, load.files)

    gunicorn.start()
    file = vonage.add_file()
    last = post(gunicorn, file)
    until(lambda: stored(gunicorn, [last]), "it archives as before", 60, pause=0.5)


def test_the_commands_for_postgres_bring_its_catalogue_back(
    deploy,
    vonage,
    post,
    until,
    type_in,
    postgres_url,  # noqa: F811 - the fixture
):
    gunicorn, _ = deploy(DATABASE_URL=postgres_url)
    gunicorn.start()
    first = post(gunicorn, vonage.add_file())
    until(lambda: stored(gunicorn, [first]), "it is stored", 60, pause=0.5)
    assert type_in(PG_DUMP, gunicorn.env).returncode == 0
    second = post(gunicorn, vonage.add_file())
    until(lambda: stored(gunicorn, [second]), "it is stored", 60, pause=0.5)
    gunicorn.stop()
    done = type_in(PG_RESTORE, gunicorn.env)
    assert done.returncode == 0, done.stderr
    assert [row["recording_uuid"] for row in gunicorn.list_recordings()] == [first]
    done = type_in(BRING_BACK, gunicorn.env)
    assert done.returncode == 0, f"{done.stdout}{done.stderr}"
    assert {row["recording_uuid"] for row in gunicorn.list_recordings()} == {first, second}
