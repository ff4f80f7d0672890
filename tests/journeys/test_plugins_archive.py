"""What strangers wrote archives real recordings, in the real application: a drop-in file, and an installed package."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.services.moto_s3 import install, moto_s3, s3_client

# Written as people write today, and knowing nothing of Tapekeeper: an own notion of a file, of an error, of a key.
DROP_IN = """
from __future__ import annotations

import hashlib
import os
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import pluggy

hookimpl = pluggy.HookimplMarker("tapekeeper")


class ObjectNotFound(Exception):
    retryable = False


@dataclass(frozen=True, slots=True)
class Item:
    key: str
    size: int
    uri: str
    content_type: str | None = None
    checksums: dict[str, str] = field(default_factory=dict)
    metadata: dict[str, str] = field(default_factory=dict)


@dataclass
class Shelf:
    scheme: ClassVar[str] = "shelf"
    root: Path

    @classmethod
    def from_url(cls, url, env):
        return cls(Path(env["SHELF_ROOT"]) / url.partition("://")[2])

    def put(self, key, source, *, content_type, metadata):
        path = self.root / key
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            with source.open() as stream, tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as draft:
                digest = hashlib.sha256()
                while piece := stream.read(65536):
                    draft.write(piece)
                    digest.update(piece)
            os.replace(draft.name, path)
            return {"size": path.stat().st_size, "sha256": digest.hexdigest(), "created": True, "uri": path.as_uri()}
        return {"size": path.stat().st_size, "sha256": None, "created": False, "uri": path.as_uri()}

    def head(self, key):
        path = self.root / key
        if not path.is_file():
            raise ObjectNotFound(key)
        return Item(key, path.stat().st_size, path.as_uri())

    def get(self, key, start=0, end=None):
        self.head(key)
        yield (self.root / key).read_bytes()[start:end]

    def delete(self, key):
        (self.root / key).unlink(missing_ok=True)

    def list(self, prefix=""):
        keys = sorted(str(p.relative_to(self.root)) for p in self.root.rglob("*") if p.is_file())
        return iter([self.head(key) for key in keys if key.startswith(prefix)])

    def signed_url(self, key, expires_in):
        return None

    def check(self):
        self.root.mkdir(parents=True, exist_ok=True)

    def close(self):
        pass


@hookimpl
def register_storage_backends() -> dict[str, type]:
    return {Shelf.scheme: Shelf}


@hookimpl
def object_key(recording) -> str:
    return f"shelf/{recording.flow}/{recording.recording_uuid}.audio"


@hookimpl
def recording_stored(recording, copy):
    with open(os.environ["SHELF_ROOT"] + "/told.txt", "a") as told:
        told.write(f"{recording.recording_uuid} {copy.storage} {copy.sha256}\\n")
"""


def archived(gunicorn, vonage, until, flow: str):
    """One call of this flow; what was recorded, and what the catalogue says of it once it is stored."""
    (made,) = vonage.call_flow(gunicorn.url, flow).recordings
    listed = until(
        lambda: (row := _listed(gunicorn, made.recording_uuid))["state"] == "stored" and row,
        f"{flow} is stored; see {gunicorn.log}",
    )
    assert {copy["sha256"] for copy in listed["copies"]} == {made.sha256}
    return made, listed


def _listed(gunicorn, recording_uuid):
    return next(row for row in gunicorn.list_recordings() if row["recording_uuid"] == recording_uuid)


def test_a_drop_in_file_of_today_archives(make_gunicorn, vonage, until, tmp_path: Path) -> None:
    (tmp_path / "plugins").mkdir()
    (tmp_path / "plugins" / "shelf.py").write_text(DROP_IN)
    gunicorn = make_gunicorn(tmp_path, vonage, STORAGE_URL="shelf://tapes", SHELF_ROOT=str(tmp_path)).start()
    made, listed = archived(gunicorn, vonage, until, "split")
    (copy,) = listed["copies"]
    assert copy["key"] == f"shelf/split/{made.recording_uuid}.audio"
    audio = (tmp_path / "tapes" / copy["key"]).read_bytes()
    assert hashlib.sha256(audio).hexdigest() == made.sha256
    sidecar = json.loads((tmp_path / "tapes" / f"{copy['key']}.json").read_text())
    assert sidecar["audio"]["sha256"] == made.sha256
    assert re.findall(r"\S+", (tmp_path / "told.txt").read_text()) == [
        made.recording_uuid,
        "shelf://tapes",
        made.sha256,
    ]


@pytest.fixture
def s3() -> Iterator[dict[str, str]]:
    with moto_s3("tapes") as env:
        yield env


def test_an_installed_package_archives_beside_a_folder(make_gunicorn, vonage, until, s3, tmp_path: Path) -> None:
    (tmp_path / "plugins").mkdir()
    site = install(tmp_path / "s3")
    storages = f"file://{tmp_path}/recordings s3://tapes/calls"
    gunicorn = make_gunicorn(tmp_path, vonage, STORAGE_URL=storages, PYTHONPATH=str(site), **s3).start()
    made, listed = archived(gunicorn, vonage, until, "voicemail")
    assert [copy["storage"] for copy in listed["copies"]] == storages.split()
    key = listed["copies"][1]["key"]
    with closing(s3_client(s3)) as client:
        stored = client.get_object(Bucket="tapes", Key=f"calls/{key}")
        with stored["Body"] as body:
            assert hashlib.sha256(body.read()).hexdigest() == made.sha256
        assert stored["Metadata"]["recording_uuid"] == made.recording_uuid
        assert client.head_object(Bucket="tapes", Key=f"calls/{key}.json")["ContentType"] == "application/json"
