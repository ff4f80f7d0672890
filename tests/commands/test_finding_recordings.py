"""`flask recordings list|export|play`: the filters of the page at a shell, and audio that is proven before its use."""

from __future__ import annotations

import csv
import hashlib
import json
import os
import subprocess
import zipfile
from pathlib import Path

import pytest

from recordings.model import Call


@pytest.fixture
def deployment(deploy, vonage):
    return deploy(RECORDING_HOSTS=vonage.origin)


@pytest.fixture
def call(deployment, vonage):
    """`call(number)`: a call from this number is recorded and archived; its announcement."""

    def make(number, **changes):
        file = vonage.add_file()
        event, copy_ids = deployment.announce(recording_url=file.url, size=file.size, **changes)
        words = {"flow": "call", "format": "mp3", "channels": 1}
        note = Call(event.conversation_uuid, "leg", number, "447700900000", **words)
        deployment.wiring.intake.note_call(note, "the-application")
        for copy_id in copy_ids:
            deployment.look_at(copy_id)
        return event, file

    return make


def ids(deployment, *options):
    return [row["recording_uuid"] for row in deployment.objects("recordings", "list", *options)]


# --- list -------------------------------------------------------------------------------------------------------------


def test_the_table_shows_who_called_whom_when_and_where_it_lies(deployment, call):
    event, _ = call("447700900001")
    header, line, row = deployment.run("recordings", "list").stdout.splitlines()
    assert header.split("  ")[0] == "recording"
    assert set(line) == {"-", " "}
    for words in (event.recording_uuid, "447700900001 → 447700900000", "~0:00", "call", "stored", ".mp3"):
        assert words in row


def test_the_filters_of_the_page_are_options(deployment, call):
    one, other = call("447700900001")[0].recording_uuid, call("4915550002")[0].recording_uuid
    empty = deployment.announce(recording_url="", size=0)[0].recording_uuid
    assert ids(deployment) == [empty, other, one]
    for options, wanted in [
        (["--number", "+44 7700 900001"], [one]),
        (["--number-ends-with", "0002"], [other]),
        (["--number-starts-with", "4477"], [other, one]),
        (["--state", "stored", "--state", "empty", "--limit", "2"], [empty, other]),
        (["--without-empty"], [other, one]),
        (["--since", "1d", "--flow", "call"], [other, one]),
        (["--until", "1d"], []),
        (["--recording", one, "--format", "mp3"], [one]),
        (["--storage", "gs://elsewhere"], []),
    ]:
        assert ids(deployment, *options) == wanted, options


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--number-ends-with", "123"], "give at least 4"),
        (["--number", "1234", "--number-ends-with", "1234"], "only one of"),
        (["--since", "yesterday"], "no point in time"),
        (["--limit", "0"], "0 is not in the range"),
        (["--min-seconds", "x"], "give seconds"),
    ],
)
def test_a_wrong_filter_is_a_wrong_use_that_says_what_is_right(deployment, options, words):
    result = deployment.run("recordings", "list", *options)
    assert (result.exit_code, result.stdout) == (2, "")
    assert words in result.stderr


def test_nothing_found_is_said_beside_the_list(deployment, call):
    call("447700900001")
    result = deployment.run("recordings", "list", "--number", "1")
    assert (result.exit_code, result.stdout, result.stderr) == (0, "", "No such recordings.\n")


def test_a_callers_name_does_not_steer_the_terminal(deployment, call):
    call("\x1b[2J evil")
    assert "\x1b" not in deployment.run("recordings", "list").stdout


# --- export -----------------------------------------------------------------------------------------------------------


def test_a_csv_holds_what_the_filter_chooses_and_no_formula(deployment, call, tmp_path):
    one, _ = call("=HYPERLINK()")
    call("447700900009")
    path = tmp_path / "out.csv"
    result = deployment.run("recordings", "export", "--csv", path, "--recording", one.recording_uuid)
    assert (result.exit_code, result.stdout) == (0, f"{path}: 1 recordings.\n")
    (row,) = csv.DictReader(path.read_text(encoding="utf-8-sig").splitlines())
    assert (row["recording_uuid"], row["from"], row["state"]) == (one.recording_uuid, "'=HYPERLINK()", "stored")
    assert path.stat().st_mode & 0o777 == 0o600


def test_json_lines_are_those_of_the_list(deployment, call, tmp_path):
    call("447700900001")
    call("447700900002")
    deployment.run("recordings", "export", "--jsonl", tmp_path / "out.jsonl")
    lines = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert lines == deployment.objects("recordings", "list")


def test_a_zip_holds_the_audio_its_sidecar_and_checksums_that_sha256sum_checks(deployment, call, tmp_path):
    event, file = call("447700900001")
    deployment.announce()  # not archived yet
    path = tmp_path / "out.zip"
    result = deployment.run("recordings", "export", "--zip", path)
    assert (result.exit_code, result.stdout) == (0, f"{path}: 2 recordings.\n")
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        archive.extractall(tmp_path / "out")
        (audio,) = (name for name in archive.namelist() if name.endswith(".mp3"))
        assert set(archive.namelist()) == {audio, f"{audio}.json", "recordings.jsonl", "SHA256SUMS"}
        assert hashlib.sha256(archive.read(audio)).hexdigest() == file.sha256
        assert json.loads(archive.read(f"{audio}.json"))["recording_uuid"] == event.recording_uuid
        assert len(archive.read("recordings.jsonl").splitlines()) == 2
    check = subprocess.run(["sha256sum", "-c", "SHA256SUMS"], cwd=tmp_path / "out", capture_output=True, text=True)
    assert (check.returncode, check.stdout.count(": OK")) == (0, 3)


def damage(deployment, event):
    (row,) = deployment.objects("recordings", "list", "--recording", event.recording_uuid)
    path = Path(deployment.wiring.settings.storage_url[0].removeprefix("file://"), row["copies"][0]["key"])
    path.chmod(0o644)
    path.write_bytes(b"x" * path.stat().st_size)


def test_damaged_audio_is_not_exported_and_is_named(deployment, call, tmp_path):
    damaged, _ = call("447700900001")
    _, good = call("447700900002")
    damage(deployment, damaged)
    path = tmp_path / "out.zip"
    result = deployment.run("recordings", "export", "--zip", path)
    assert result.exit_code == 1
    assert damaged.recording_uuid in result.stderr
    assert "verify --repair" in result.stderr
    with zipfile.ZipFile(path) as archive:
        audio = [name for name in archive.namelist() if name.endswith(".mp3")]
        assert [hashlib.sha256(archive.read(name)).hexdigest() for name in audio] == [good.sha256]


@pytest.mark.parametrize("options", [[], ["--csv", "a", "--jsonl", "b"]])
def test_an_export_wants_one_file(deployment, options):
    result = deployment.run("recordings", "export", *options)
    assert result.exit_code == 2
    assert "one of --csv FILE, --jsonl FILE and --zip FILE" in result.stderr


def test_a_file_that_is_there_is_not_written_over(deployment, tmp_path):
    path = tmp_path / "out.csv"
    path.write_text("mine")
    for words in (["export", "--csv", path], ["play", "nobody", "--out", path]):
        assert deployment.run("recordings", *words).exit_code == 1
    assert path.read_text() == "mine"
    assert deployment.run("recordings", "export", "--csv", tmp_path / "no/folder/x").exit_code == 1
    assert sorted(path.name for path in tmp_path.glob(".*part")) == []


# --- play -------------------------------------------------------------------------------------------------------------


def test_the_verified_bytes_are_written_to_a_file(deployment, call, tmp_path):
    event, file = call("447700900001")
    path = tmp_path / "one.mp3"
    result = deployment.run("recordings", "play", event.recording_uuid, "--out", path)
    assert (result.exit_code, file.sha256 in result.stdout) == (0, True)
    assert hashlib.sha256(path.read_bytes()).hexdigest() == file.sha256


def test_damaged_bytes_are_not_handed_out(deployment, call, tmp_path):
    event, _ = call("447700900001")
    damage(deployment, event)
    result = deployment.run("recordings", "play", event.recording_uuid, "--out", tmp_path / "one.mp3")
    assert result.exit_code == 1
    assert "is damaged" in result.stderr
    assert not (tmp_path / "one.mp3").exists()


def test_what_is_not_stored_says_so(deployment, tmp_path):
    event, _ = deployment.announce()
    result = deployment.run("recordings", "play", event.recording_uuid, "--out", tmp_path / "one.mp3")
    assert (result.exit_code, "the copy is pending" in result.stderr) == (1, True)
    assert "There is no recording nobody" in deployment.run("recordings", "play", "nobody").stderr


@pytest.fixture
def player(tmp_path, monkeypatch):
    """`player(script)`: the only player of this machine does this with the file, which is its last word."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))

    def make(script):
        path = folder / "mpv"
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)

    return make


def test_a_recording_is_played_and_its_file_goes_away(deployment, call, player, tmp_path):
    event, file = call("447700900001")
    player(f'shift; echo "$1" > {tmp_path}/name; /bin/cp "$1" {tmp_path}/heard')
    assert deployment.run("recordings", "play", event.recording_uuid).exit_code == 0
    assert hashlib.sha256((tmp_path / "heard").read_bytes()).hexdigest() == file.sha256
    name = (tmp_path / "name").read_text().strip()
    assert name.endswith(".mp3")
    assert not os.path.exists(os.path.dirname(name))


def test_without_a_player_it_says_what_to_do(deployment, call, player):
    event, _ = call("447700900001")
    result = deployment.run("recordings", "play", event.recording_uuid)
    assert (result.exit_code, "--out FILE" in result.stderr) == (1, True)
    player("exit 3")
    assert "exit code 3" in deployment.run("recordings", "play", event.recording_uuid).stderr


def test_who_plays_downloads_or_exports_at_a_shell_is_noted(deployment, call, player, tmp_path):
    event, _ = call("447700900001")
    player("exit 0")
    deployment.run("recordings", "play", event.recording_uuid)
    deployment.run("recordings", "play", event.recording_uuid, "--out", tmp_path / "one.mp3")
    deployment.run("recordings", "export", "--csv", tmp_path / "all.csv")
    deployment.run("recordings", "export", "--zip", tmp_path / "all.zip")
    entries = [*deployment.wiring.people.audit.entries()][::-1]
    actions = [(entry.action, entry.recording_uuid, entry.kind) for entry in entries]
    uuid = event.recording_uuid
    assert actions == [
        *(("play", uuid, "command"), ("download", uuid, "command"), ("export", None, "command")),
        *(("export", None, "command"), ("export", uuid, "command")),
    ]
    assert "447700900001" not in str([entry.detail for entry in entries])
