"""`flask recordings copy`: a storage that was added later gets what was there before it, verified, in any state of
affairs, as often as it is asked.
"""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import update

from recordings.catalogue import copies
from recordings.catalogue.tables import recordings

LONG_AGO = datetime.now(UTC) - timedelta(days=40)

# A folder that presses Ctrl-C in mid-put, once, while the file named in TRAP is there.
TRAP = """
import os, signal, time
from pathlib import Path

import pluggy

from backends.local.storage import LocalStorage

hookimpl = pluggy.HookimplMarker("tapekeeper")


class Trapped(LocalStorage):
    @classmethod
    def from_url(cls, url, env):
        return cls(Path(url.partition("://")[2]))

    def put(self, key, source, **labels):
        trap = Path(os.environ["TRAP"])
        if trap.exists() and len(list(self.root.rglob("*.mp3"))) == 1:
            trap.unlink()
            os.kill(os.getpid(), signal.SIGINT)
        return super().put(key, source, **labels)


@hookimpl
def register_storage_backends():
    return {"trap": Trapped}
"""


@pytest.fixture
def old(tmp_path):
    return f"file://{tmp_path}/old"


@pytest.fixture
def new(tmp_path):
    return f"file://{tmp_path}/new"


@pytest.fixture
def start(deploy, vonage):
    """`start(*storages)`: a deployment that keeps copies there; all share one catalogue."""
    return lambda *storages: deploy(STORAGE_URL=" ".join(storages), RECORDING_HOSTS=vonage.origin)


@pytest.fixture
def filled(start, vonage, old):
    """Three recordings that were archived while there was the old storage alone: their announcements and files."""
    deployment = start(old)
    files = [vonage.add_file(size=size) for size in (500, 70_000, 2_500_000)]
    return [(deployment.archive(file), file) for file in files]


def let_forty_days_pass(deployment, event):
    """Make this announcement one of forty days ago: Vonage has deleted its recording."""
    with deployment.wiring.database.write() as connection:
        its_row = update(recordings).where(recordings.c.recording_uuid == event.recording_uuid)
        connection.execute(its_row.values(received_at=LONG_AGO, end_time=LONG_AGO))


def states(deployment, storage):
    """The states of the copies in this storage, in the order of the recordings."""
    listed = deployment.objects("recordings", "list")
    return [copy["state"] for row in listed for copy in row["copies"] if copy["storage"] == storage]


def contents(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_new_storage_gets_the_old_recordings_without_asking_vonage(start, filled, old, new, tmp_path):
    asked = [file.requests for _, file in filled]
    deployment = start(old, new)
    done = deployment.run("recordings", "copy", "--to", new)
    assert (done.exit_code, done.stdout) == (0, "3 copied.\n")
    assert [file.requests for _, file in filled] == asked
    before, after = contents(tmp_path / "old"), contents(tmp_path / "new")
    assert after.keys() == before.keys(), "the keys are the same, the sidecars are there"
    assert all(after[key] == before[key] for key in before if key.endswith(".mp3"))
    listed = deployment.objects("recordings", "list")
    assert [row["state"] for row in listed] == ["stored"] * 3
    for row, (_, file) in zip(reversed(listed), filled, strict=True):
        first, second = row["copies"]
        assert (second["storage"], second["sha256"], second["size"]) == (new, first["sha256"], file.size)
        assert (second["key"], second["content_type"], second["error"]) == (first["key"], "audio/mpeg", None)


def test_repeating_it_copies_nothing_twice(start, filled, old, new):
    deployment = start(old, new)
    assert deployment.run("recordings", "copy", "--to", new).exit_code == 0
    again = deployment.run("recordings", "copy", "--to", f"{new}/")
    assert (again.exit_code, again.stdout) == (0, f"{new} has every recording.\n")


def test_a_dry_run_only_tells(start, filled, old, new, tmp_path):
    deployment = start(old, new)
    told = deployment.run("recordings", "copy", "--to", new, "--dry-run")
    assert (told.exit_code, told.stdout) == (0, "3 would be copied from another storage.\n")
    assert not (tmp_path / "new").exists()
    assert states(deployment, new) == []


def test_a_storage_that_is_not_configured_is_refused_with_the_mend(start, filled, old, new):
    refused = start(old).run("recordings", "copy", "--to", new)
    assert refused.exit_code == 1
    assert f"{new} is not in STORAGE_URL ({old}). Add it there first" in refused.stderr


def test_a_storage_that_cannot_be_used_ends_it_before_it_begins(start, filled, old, tmp_path):
    (tmp_path / "file").touch()
    new = f"file://{tmp_path}/file"
    deployment = start(old, new)
    refused = deployment.run("recordings", "copy", "--to", new)
    assert refused.exit_code == 1
    assert f"{new} cannot be used: " in refused.stderr
    assert states(deployment, new) == []


def test_an_old_storage_that_is_configured_no_more_still_gives(start, filled, old, new, tmp_path):
    deployment = start(new)
    assert deployment.run("recordings", "copy", "--to", new).stdout == "3 copied.\n"
    assert len(contents(tmp_path / "new")) == 6


def test_a_recording_that_vonage_has_deleted_is_copied_all_the_same(start, vonage, old, new):
    first = start(old)
    file = vonage.add_file(size=50_000)
    let_forty_days_pass(first, first.archive(file))
    file.faults.extend(["404"] * 5)
    deployment = start(old, new)
    assert deployment.run("recordings", "copy", "--to", new).stdout == "1 copied.\n"
    assert states(deployment, new) == ["stored"]


def test_a_damaged_copy_is_not_spread(start, vonage, old, new, tmp_path):
    first = start(old)
    let_forty_days_pass(first, first.archive(vonage.add_file(size=50_000)))
    (audio,) = (tmp_path / "old").rglob("*.mp3")
    audio.write_bytes(b"x" * 50_000)
    deployment = start(old, new)
    done = deployment.run("recordings", "copy", "--to", new)
    assert (done.exit_code, done.stdout.partition(";")[0]) == (1, "1 FAILED")
    (row,) = deployment.objects("recordings", "list")
    assert f"The copy in {old} is damaged" in row["copies"][1]["error"]
    assert contents(tmp_path / "new") == {}
    audio.unlink()
    deployment.run("recordings", "copy", "--to", new)
    (row,) = deployment.objects("recordings", "list")
    assert f"The copy in {old} cannot be read" in row["copies"][1]["error"]


def test_of_several_copies_a_good_one_is_taken(start, vonage, old, new, tmp_path):
    other = f"file://{tmp_path}/other"
    event = start(old, other).archive(vonage.add_file(size=50_000))
    (audio,) = (tmp_path / "old").rglob("*.mp3")
    good = audio.read_bytes()
    audio.write_bytes(b"x" * 50_000)
    deployment = start(old, other, new)
    assert deployment.run("recordings", "copy", "--to", new).stdout == "1 copied.\n"
    (copied,) = (tmp_path / "new").rglob(f"{event.recording_uuid}.mp3")
    assert copied.read_bytes() == good


def test_what_lies_under_the_key_already_is_taken_only_if_it_is_the_same(start, filled, old, new, tmp_path):
    deployment = start(old, new)
    paths = sorted(path for path in (tmp_path / "old").rglob("*.mp3"))
    for number, path in enumerate(paths):
        there = tmp_path / "new" / path.relative_to(tmp_path / "old")
        there.parent.mkdir(parents=True)
        there.write_bytes(path.read_bytes() if number else b"something else")
    done = deployment.run("recordings", "copy", "--to", new)
    assert done.exit_code == 1
    assert done.stdout.startswith("2 copied.\n1 FAILED")
    errors = [copy["error"] for row in deployment.objects("recordings", "list") for copy in row["copies"]]
    assert sum("holds other audio" in (error or "") for error in errors) == 1


def test_what_nobody_has_is_left_to_the_workers_while_vonage_has_it(start, vonage, old, new):
    first = start(old)
    file = vonage.add_file(size=50_000)
    first.announce(recording_url=file.url, size=file.size)
    let_forty_days_pass(first, first.announce(recording_url=file.url)[0])
    deployment = start(old, new)
    done = deployment.run("recordings", "copy", "--to", new)
    assert done.exit_code == 0
    assert done.stdout.splitlines() == [
        "1 left to the workers, who fetch them from Vonage.",
        "1 without any copy, and older than Vonage keeps them.",
    ]
    deployment.work()
    assert states(deployment, new) == ["stored"]


def test_a_copy_that_was_left_undone_is_finished_by_a_worker_without_vonage(start, vonage, old, new):
    """As after a kill: the row is there, the lease has run out, and Vonage has deleted the recording."""
    first = start(old)
    file = vonage.add_file(size=50_000)
    let_forty_days_pass(first, first.archive(file))
    asked = file.requests
    deployment = start(old, new)
    wiring = deployment.wiring
    ((recording_id, _),) = copies.lacking(wiring.database, new)
    wiring.schedule.request(recording_id, new)
    deployment.work()
    assert states(deployment, new) == ["stored"]
    assert file.requests == asked


def test_what_another_worker_holds_is_left_to_it(start, filled, old, new):
    deployment = start(old, new)
    wiring = deployment.wiring
    recording_id, _ = next(copies.lacking(wiring.database, new))
    claim = wiring.leases.take(recording_id, new)
    done = deployment.run("recordings", "copy", "--to", new)
    assert done.stdout == "2 copied.\n1 in work elsewhere just now.\n"
    wiring.leases.give_back(claim)
    assert deployment.run("recordings", "copy", "--to", new).stdout == "1 copied.\n"


def test_ctrl_c_ends_it_and_a_repetition_goes_on(
    start, filled, old, vonage, make_environ, bare_environ, flask_process, tmp_path
):
    (tmp_path / "plugins" / "trap.py").write_text(TRAP)
    (tmp_path / "trap").touch()
    new = f"trap://{tmp_path}/new"
    settings = make_environ(tmp_path, STORAGE_URL=f"{old} {new}", TRAP=str(tmp_path / "trap"))
    env = bare_environ | settings | {"RECORDING_HOSTS": vonage.origin}
    first = flask_process(["recordings", "copy", "--to", new, "--jobs", "1"], env)
    assert first.returncode == 130, first.stderr
    assert "Interrupted: repeat the command to go on." in first.stderr
    second = flask_process(["recordings", "copy", "--to", new], env)
    assert second.returncode == 0, second.stderr
    assert {key for key in contents(tmp_path / "new") if key.endswith(".mp3")} == {
        key for key in contents(tmp_path / "old") if key.endswith(".mp3")
    }
    assert states(start(old), new) == ["stored"] * 3


def test_a_person_sees_a_bar(start, filled, old, new, vonage, make_environ, bare_environ, tmp_path):
    settings = make_environ(tmp_path, STORAGE_URL=f"{old} {new}", RECORDING_HOSTS=vonage.origin)
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "flask", "recordings", "copy", "--to", new]
    done = subprocess.run(
        command, env=bare_environ | settings, stdout=subprocess.PIPE, stderr=theirs, timeout=60, check=True
    )
    os.close(theirs)
    shown = os.read(ours, 65536).decode()
    os.close(ours)
    assert f"Copying to {new}" in shown
    assert "100%" in shown
    assert "Stored " not in shown, "log lines would tear the bar"
    assert done.stdout == b"3 copied.\n"
