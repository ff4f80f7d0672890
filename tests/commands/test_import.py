"""`flask recordings import`: what it brings back out of the sidecars, and what it leaves out and names."""

from __future__ import annotations

import json
import uuid
from datetime import UTC, datetime

import pytest
from sqlalchemy import select, text

from recordings.catalogue.listing import find
from recordings.catalogue.tables import calls
from recordings.model import Call, CallEvent, Delivery


@pytest.fixture
def deployment(deploy, vonage):
    return deploy(RECORDING_HOSTS=vonage.origin)


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "recordings"


@pytest.fixture
def lose(tmp_path):
    """`lose(deployment)`: its catalogue is gone."""

    def make(deployment):
        deployment.close()
        for path in tmp_path.glob("tapekeeper.db*"):
            path.unlink()

    return make


@pytest.fixture
def run_import(deployment, folder):
    return lambda *options: deployment.run("recordings", "import", f"file://{folder}", *options)


def called(deployment, file, moved=False):
    """A recording of a call of which the answer webhook and the call events told; its announcement."""
    conversation = f"CON-{uuid.uuid4()}"
    told = f"CON-{uuid.uuid4()}" if moved else conversation
    intake, application = deployment.wiring.intake, deployment.wiring.settings.vonage_application_id
    call = Call(told, "leg-1", "447700900001", "447700900000", "voicemail", "https://api-eu-1.nexmo.com", records=True)
    intake.note_call(call, application)
    now = datetime.now(UTC)
    conversations = (told, conversation) if moved else (told,)
    kinds = ["transfer", "completed"] if moved else ["completed"]
    for kind in kinds:
        named = conversations if kind == "transfer" else (told,)
        event = CallEvent(kind, named, "leg-1", direction="inbound", timestamp=now)
        intake.accept(Delivery("events", "POST", "", "", b"{}", application, True), [event])
    return deployment.archive(file, conversation_uuid=conversation)


def whole(deployment, events):
    """What the catalogue knows of these recordings and of the calls behind them."""
    with deployment.wiring.database.read() as connection:
        columns = [column for column in calls.c if column.name not in ("id", "expectation", "missing_at")]
        its_calls = {tuple(row) for row in connection.execute(select(*columns))}
    listed = [find(deployment.wiring.database, event.recording_uuid)[0] for event in events]
    for recording in listed:
        for copy in recording.copies:
            object.__setattr__(copy, "stored_at", None)  # the sidecar is written a moment before the row
            object.__setattr__(copy, "attempts", 0)
    return listed, its_calls


def test_a_lost_catalogue_comes_back_out_of_the_sidecars_alone(deployment, vonage, run_import, lose):
    events = [called(deployment, vonage.add_file()), called(deployment, vonage.add_file(), moved=True)]
    events.append(deployment.archive(vonage.add_file(), conversation_uuid=""))
    before = whole(deployment, events)
    lose(deployment)
    done = run_import("--deep")
    assert (done.exit_code, done.stdout) == (0, ""), done.stderr
    assert "3 brought into the catalogue." in done.stderr
    assert whole(deployment, events) == before
    assert deployment.run("recordings", "verify", "--deep").exit_code == 0
    (row,) = deployment.objects(
        "recordings", "list", "--number", "447700900001", "--recording", events[1].recording_uuid
    )
    assert row["state"] == "stored", "a search finds it"


def test_an_import_may_be_repeated_and_reads_no_sidecar_twice(deployment, vonage, run_import, lose, folder):
    deployment.archive(vonage.add_file())
    lose(deployment)
    run_import()
    (known,) = folder.rglob("*.json")
    known.write_text("damaged since")
    later = deployment.archive(vonage.add_file())
    done = run_import()
    assert (done.exit_code, done.stdout) == (0, "")
    assert "2 known as stored already." in done.stderr
    assert later.recording_uuid in {row["recording_uuid"] for row in deployment.objects("recordings", "list")}


def test_a_copy_that_the_catalogue_takes_for_unfinished_is_stored_again(deployment, vonage, run_import):
    event = deployment.archive(vonage.add_file())
    with deployment.wiring.database.write() as connection:  # as a backup from before its end has it
        connection.execute(text("UPDATE copies SET state = 'pending', key = NULL, sha256 = NULL, due_at = stored_at"))
    done = run_import()
    assert "1 known, and their copy is stored now." in done.stderr
    (recording,) = find(deployment.wiring.database, event.recording_uuid)
    assert (recording.state, recording.copies[0].error) == ("stored", None)
    assert deployment.wiring.leases.claim_next() is None, "no worker fetches it once more"


def test_a_sidecar_of_an_older_version_is_imported_without_what_it_lacks(deployment, vonage, run_import, lose, folder):
    event = called(deployment, vonage.add_file())
    lose(deployment)
    (path,) = folder.rglob("*.json")
    document = json.loads(path.read_text())
    del document["other_storages"], document["event"]["recording_url"], document["event"]["timestamp"]
    for name in ("region_url", "conversation_uuid", "leg_uuid", "answered_at", "completed_at"):
        del document["call"][name]
    path.write_text(json.dumps(document))
    assert run_import().exit_code == 0
    (recording,) = find(deployment.wiring.database, event.recording_uuid)
    assert (recording.state, recording.recording_url, recording.from_) == ("stored", "", "447700900001")


def damaged(path, **changes):
    document = json.loads(path.read_text())
    for name, value in changes.items():
        part, _, inner = name.partition("__")
        if inner:
            document[part][inner] = value
        else:
            document[part] = value
    path.write_text(json.dumps(document))


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"audio__key": "../../etc/passwd"}, "speaks of another object"),
        ({"audio__size": 1}, "the store says"),
        ({"audio__size": True}, "audio.size"),
        ({"audio__sha256": "x" * 64}, "audio.sha256"),
        ({"schema": 2}, "newer version"),
        ({"schema": "1"}, "no sidecar of Tapekeeper"),
        ({"recording_uuid": "a\0b"}, "recording_uuid"),
        ({"recording_uuid": "\ud800"}, "recording_uuid"),
        ({"recording_uuid": "another"}, "labelled as another"),
        ({"application_id": None}, "application_id"),
        ({"call__from": ["4477"]}, "call.from"),
        ({"call__flow": "x" * 33}, "call.flow"),
        ({"event__start_time": "9999-12-31T23:59:59-12:00"}, "event.start_time"),
        ({"event": "text"}, "event"),
    ],
)
def test_what_a_sidecar_says_is_believed_only_as_far_as_it_can_be(
    deployment, vonage, run_import, lose, folder, changes, problem
):
    deployment.archive(vonage.add_file())
    good = deployment.archive(vonage.add_file())
    lose(deployment)
    bad = next(path for path in folder.rglob("*.json") if good.recording_uuid not in path.name)
    damaged(bad, **changes)
    done = run_import()
    assert done.exit_code == 1
    (line,) = done.stdout.splitlines()
    assert line.startswith("skipped ")
    assert problem in line
    assert [row["recording_uuid"] for row in deployment.objects("recordings", "list")] == [good.recording_uuid]


@pytest.mark.parametrize("content", [b"", b"{", b"[" * 50_000, b"\xff\xfe", b" " * 70_000, b"{}"])
def test_what_is_no_sidecar_is_named_and_left_out(run_import, folder, content):
    (folder / "2026").mkdir(parents=True)
    (folder / "2026" / "x.mp3.json").write_bytes(content)
    done = run_import()
    assert done.exit_code == 1
    assert "skipped   2026/x.mp3.json: It" in done.stdout


# A folder in which somebody's object has a name that a terminal obeys, as clouds allow; reading it ends the program.
STEERING = """
from pathlib import Path

import pluggy

from backends.local.storage import LocalStorage
from recordings.storage import ObjectInfo

hookimpl = pluggy.HookimplMarker("tapekeeper")


class Steering(LocalStorage):
    @classmethod
    def from_url(cls, url, env):
        return cls(Path(url.partition("://")[2]))

    def list(self, prefix=""):
        yield ObjectInfo(key="x\\x1b]0;owned\\x07\\n.json", size=2)
        yield from super().list(prefix)

    def get(self, key, start=0, end=None):
        if "owned" in key:
            raise SystemExit(0)
        return super().get(key, start, end)


@hookimpl
def register_storage_backends():
    return {"steering": Steering}
"""


def test_a_strange_object_neither_steers_the_terminal_nor_ends_the_import(deploy, vonage, lose, tmp_path):
    (tmp_path / "plugins" / "steering.py").write_text(STEERING)
    storage = f"steering://{tmp_path}/recordings"
    deployment = deploy(RECORDING_HOSTS=vonage.origin, STORAGE_URL=storage)
    deployment.archive(vonage.add_file())
    lose(deployment)
    done = deployment.run("recordings", "import", storage)
    assert (done.exit_code, len(deployment.objects("recordings", "list"))) == (1, 1)
    for output in (done.stdout, deployment.run("recordings", "verify").stdout):
        assert "x?]0;owned??.json: " in output
        assert "\x1b" not in output


def test_audio_that_is_gone_or_was_changed_is_no_stored_copy(deployment, vonage, run_import, lose, folder):
    keys = {}
    for _ in range(2):
        event = deployment.archive(vonage.add_file())
        keys[event.recording_uuid] = find(deployment.wiring.database, event.recording_uuid)[0].copies[0].key
    gone, changed = map(folder.__truediv__, keys.values())
    lose(deployment)
    gone.unlink()
    content = changed.read_bytes()
    changed.unlink()
    changed.write_bytes(b"X" + content[1:])  # a file without the digest that the store keeps beside it
    done = run_import("--deep")
    assert sorted(line.partition(".json: ")[2][:27] for line in done.stdout.splitlines()) == [
        "It says that the audio's SH",
        "The audio that it describes",
    ]
    assert done.exit_code == 1
    assert deployment.objects("recordings", "list") == []


def test_a_recording_that_lies_twice_is_brought_in_once(deployment, vonage, run_import, lose, folder):
    deployment.archive(vonage.add_file())
    lose(deployment)
    (path,) = folder.rglob("*.json")
    audio = path.with_suffix("")
    twin = folder / "zz.mp3"
    twin.write_bytes(audio.read_bytes())
    (folder / "zz.mp3.json").write_text(path.read_text())
    damaged(folder / "zz.mp3.json", audio__key="zz.mp3")
    done = run_import()
    assert (done.exit_code, done.stdout.split()[0]) == (1, "elsewhere")
    (row,) = deployment.objects("recordings", "list")
    assert row["copies"][0]["key"] == audio.relative_to(folder).as_posix()


def test_only_a_configured_storage_is_imported(deployment):
    done = deployment.run("recordings", "import", "file:///elsewhere")
    assert done.exit_code == 1
    assert "is not in STORAGE_URL" in done.stderr


# A folder that presses Ctrl-C when a sidecar is read, as long as the file AT is there.
INTERRUPTING = """
from pathlib import Path

import pluggy

from backends.local.storage import LocalStorage

hookimpl = pluggy.HookimplMarker("tapekeeper")


class Interrupting(LocalStorage):
    @classmethod
    def from_url(cls, url, env):
        storage = cls(Path(url.partition("://")[2]))
        storage.at = Path(env["AT"])
        return storage

    def get(self, key, start=0, end=None):
        if self.at.exists():
            raise KeyboardInterrupt
        return super().get(key, start, end)


@hookimpl
def register_storage_backends():
    return {"interrupting": Interrupting}
"""


def test_an_import_that_is_interrupted_goes_on_when_it_is_repeated(deploy, vonage, lose, tmp_path):
    (tmp_path / "plugins" / "interrupting.py").write_text(INTERRUPTING)
    storage = f"interrupting://{tmp_path}/recordings"
    deployment = deploy(RECORDING_HOSTS=vonage.origin, STORAGE_URL=storage, AT=str(tmp_path / "at"))
    deployment.archive(vonage.add_file())
    lose(deployment)
    (tmp_path / "at").touch()
    done = deployment.run("recordings", "import", storage)
    assert done.exit_code == 130
    assert "repeat the command" in done.stderr
    (tmp_path / "at").unlink()
    assert deployment.run("recordings", "import", storage).exit_code == 0
    assert len(deployment.objects("recordings", "list")) == 1
