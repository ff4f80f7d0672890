"""`flask recordings verify`: its findings, its exit codes, its repair, and how it goes on after Ctrl-C."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def deployment(deploy, vonage):
    return deploy(RECORDING_HOSTS=vonage.origin)


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "recordings"


@pytest.fixture
def archived(deployment, vonage):
    """`archived()`: the announcement of a recording that is stored, and its key."""

    def make():
        event = deployment.archive(vonage.add_file())
        (listed,) = [r for r in deployment.objects("recordings", "list") if r["recording_uuid"] == event.recording_uuid]
        assert listed["state"] == "stored"
        return event, listed["copies"][0]["key"]

    return make


def test_all_good_is_exit_0_and_nothing_on_stdout(deployment, archived):
    archived()
    for options in ([], ["--deep"], ["--json"]):
        done = deployment.run("recordings", "verify", *options)
        assert (done.exit_code, done.stdout) == (0, "")
        assert "1 copy was checked; no fault was found." in done.stderr


def test_findings_are_exit_1_each_on_a_line_of_its_own(deployment, archived, folder):
    event, key = archived()
    (folder / key).unlink()
    (folder / "orphan.mp3").write_bytes(b"x")
    done = deployment.run("recordings", "verify")
    assert done.exit_code == 1
    missing, orphan = done.stdout.splitlines()
    assert missing.startswith("missing")
    assert event.recording_uuid in missing
    assert key in missing
    assert orphan.startswith("orphan")
    assert deployment.run("recordings", "verify", "--no-objects").stdout.splitlines() == [missing]
    first, second = deployment.objects("recordings", "verify")
    assert first == {
        "kind": "missing",
        "storage": f"file://{folder}",
        "key": key,
        "recording_uuid": event.recording_uuid,
        "problem": "The store knows no such object.",
        "repaired": None,
        "repair": None,
    }
    assert (second["kind"], second["recording_uuid"]) == ("orphan", None)


def test_a_repair_says_what_it_did(deployment, archived, folder):
    _, key = archived()
    (folder / key).write_bytes(b"damaged")
    (found,) = [one for one in deployment.objects("recordings", "verify", "--repair") if one["kind"] != "aside"]
    assert found["repaired"] is True
    assert "damaged/" in found["repair"]
    assert "A worker fetches it again" in found["repair"]
    deployment.work()
    again = deployment.run("recordings", "verify", "--deep")
    assert (again.exit_code, again.stdout.split()[0]) == (0, "aside")


def test_what_cannot_be_repaired_says_why(deployment, deploy, archived, folder):
    _, key = archived()
    (folder / key).unlink()
    elsewhere = deploy(STORAGE_URL=f"file://{folder}2")
    (found,) = elsewhere.objects("recordings", "verify", "--repair")
    assert (found["kind"], found["repaired"]) == ("unconfigured", False)
    assert "add it back" in found["repair"]


# A folder that presses Ctrl-C when the key that stands in the file AT is looked at.
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

    def head(self, key):
        if self.at.exists() and self.at.read_text() == key:
            raise KeyboardInterrupt
        return super().head(key)


@hookimpl
def register_storage_backends():
    return {"interrupting": Interrupting}
"""


def test_after_an_interruption_it_tells_how_to_go_on(deploy, vonage, tmp_path):
    (tmp_path / "plugins" / "interrupting.py").write_text(INTERRUPTING)
    at = tmp_path / "at"
    storage = f"interrupting://{tmp_path}/recordings"
    deployment = deploy(RECORDING_HOSTS=vonage.origin, STORAGE_URL=storage, AT=str(at))
    uuids = [deployment.archive(vonage.add_file()).recording_uuid for _ in range(4)]
    keys = {row["recording_uuid"]: row["copies"][0]["key"] for row in deployment.objects("recordings", "list")}
    at.write_text(keys[uuids[2]])
    done = deployment.run("recordings", "verify")
    assert done.exit_code == 130
    words = done.stderr.partition("flask ")[2].split(" and the same")[0].split()
    assert words[:3] == ["recordings", "verify", "--after"]
    at.unlink()
    rest = deployment.run(*words)
    assert rest.exit_code == 0
    # The recording before the cursor's end may be looked at twice, but none is left out.
    assert words[3] in uuids[:2]
    assert f"{3 - uuids.index(words[3])} copies were checked" in rest.stderr


def test_an_unknown_recording_to_go_on_after_is_a_wrong_use(deployment):
    done = deployment.run("recordings", "verify", "--after", "nobody")
    assert done.exit_code == 2
    assert "There is no recording nobody" in done.stderr


def test_a_terminal_gets_a_progress_bar_on_stderr(deployment, archived, bare_environ, make_environ, vonage, tmp_path):
    archived()
    ours, theirs = pty.openpty()
    env = bare_environ | make_environ(tmp_path, RECORDING_HOSTS=vonage.origin, TERM="xterm")
    command = [sys.executable, "-m", "flask", "recordings", "verify"]
    done = subprocess.run(command, cwd=ROOT, env=env, stdout=subprocess.PIPE, stderr=theirs, timeout=60, check=False)
    os.close(theirs)
    shown = os.read(ours, 65536).decode()
    os.close(ours)
    assert (done.returncode, done.stdout) == (0, b"")
    assert "Checking copies" in shown
    assert "1/1" in shown
