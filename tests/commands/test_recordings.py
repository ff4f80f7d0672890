"""`flask recordings list|show|retry`: what outsiders read from it, and what it says when there is nothing to say."""

from __future__ import annotations

import dataclasses
import json
import re
from datetime import datetime

import pytest

from recordings.catalogue.intake import Intake
from recordings.model import Call, CallEvent, Delivery, State, Transcription

KEYS = ["recording_uuid", "conversation_uuid", "state", "start_time", "end_time", "size", "received_at", "copies"]
COPY_KEYS = ["storage", "key", "state", "size", "sha256", "content_type", "attempts", "error", "stored_at"]
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")

LANG_C = {"LANG": "C", "LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}


@pytest.fixture
def deployment(deploy, vonage):
    return deploy(RECORDING_HOSTS=vonage.origin)


def told(deployment, *events):
    delivery = Delivery("events", "POST", "", "application/json", b"{}", "aaaaaaaa-bbbb-cccc-dddd-0123456789ab", True)
    deployment.wiring.intake.accept(delivery, events)


# --- list -------------------------------------------------------------------------------------------------------------


def test_an_empty_catalogue_lists_nothing_and_is_no_error(deployment):
    as_table, as_json = deployment.run("recordings", "list"), deployment.run("recordings", "list", "--json")
    assert (as_table.exit_code, as_table.stdout, as_table.stderr) == (0, "", "No recordings yet.\n")
    assert (as_json.exit_code, as_json.stdout, as_json.stderr) == (0, "", "")


def test_the_documented_keys_come_first_and_in_order(deployment, vonage):
    deployment.archive(vonage.add_file())
    (row,) = deployment.objects("recordings", "list")
    assert list(row)[: len(KEYS)] == KEYS
    assert list(row["copies"][0])[: len(COPY_KEYS)] == COPY_KEYS


def test_a_stored_recording_shows_where_it_lies_and_its_proof(deployment, vonage):
    file = vonage.add_file()
    event = deployment.archive(file)
    (row,) = deployment.objects("recordings", "list")
    (copy,) = row["copies"]
    assert (row["recording_uuid"], row["conversation_uuid"]) == (event.recording_uuid, event.conversation_uuid)
    assert (row["state"], row["size"]) == ("stored", file.size)
    assert (copy["state"], copy["size"], copy["sha256"]) == ("stored", file.size, file.sha256)
    assert (copy["storage"], copy["attempts"], copy["error"]) == (deployment.wiring.settings.storage_url[0], 1, None)
    assert copy["key"].endswith(f"{event.recording_uuid}.mp3")
    assert copy["content_type"] == "audio/mpeg"
    for moment in (row["start_time"], row["end_time"], row["received_at"], copy["stored_at"]):
        assert TIME.fullmatch(moment)
        datetime.fromisoformat(moment)


def test_a_call_joins_its_recording(deployment):
    event, _ = deployment.announce(flow="call")
    call = Call(event.conversation_uuid, "leg", "447700900001", "447700900000", "call", format="mp3", channels=1)
    deployment.wiring.intake.note_call(call, "the-application")
    told(deployment, CallEvent("answered", (event.conversation_uuid,), "leg", direction="inbound"))
    (row,) = deployment.objects("recordings", "list")
    assert (row["from"], row["to"], row["direction"]) == ("447700900001", "447700900000", "inbound")
    assert (row["flow"], row["format"], row["channels"]) == ("call", "mp3", 1)


def test_all_of_many_are_listed_one_a_line(deployment):
    delivery = Delivery("recordings", "POST", "", "", b"", "the-application", True)
    event, _ = deployment.announce()
    many = [dataclasses.replace(event, recording_uuid=f"r-{n:03}") for n in range(700)]
    Intake(deployment.wiring.database, ["file:///a"]).accept(delivery, many)
    lines = deployment.run("recordings", "list", "--json").stdout.splitlines()
    names = [*(f"r-{n:03}" for n in reversed(range(700))), event.recording_uuid]
    assert [json.loads(line)["recording_uuid"] for line in lines] == names


@pytest.mark.parametrize("state", ["stored", "waiting", "blocked", "empty", "pending"])
def test_a_state_may_be_asked_for(deployment, vonage, state):
    faults = {"waiting": ["500"], "blocked": ["401"]}
    made = {name: deployment.archive(vonage.add_file(faults=faults.get(name, []))) for name in ("stored", *faults)}
    made["empty"], _ = deployment.announce(recording_url="", size=0)
    made["pending"], _ = deployment.announce()
    rows = deployment.objects("recordings", "list", "--state", state)
    assert [row["recording_uuid"] for row in rows] == [made[state].recording_uuid]
    assert deployment.run("recordings", "list", "--state", state).stdout.count(made[state].recording_uuid) >= 1


def test_a_state_that_is_none_is_a_wrong_use(deployment):
    result = deployment.run("recordings", "list", "--state", "lost")
    assert result.exit_code == 2
    for state in State:
        assert state.value in result.stderr


def test_the_table_tells_why_a_recording_waits(deployment, vonage):
    event = deployment.archive(vonage.add_file(faults=["401"]))
    table = deployment.run("recordings", "list").stdout
    assert event.recording_uuid in table
    assert "blocked" in table
    assert "VONAGE_PRIVATE_KEY" in table


# --- show -------------------------------------------------------------------------------------------------------------


def test_show_tells_everything(deployment, vonage):
    file = vonage.add_file()
    event = deployment.archive(file)
    told(
        deployment,
        CallEvent("completed", (event.conversation_uuid,), "leg-a"),
        Transcription(event.recording_uuid, None, "transcribed", "https://api.nexmo.com/v1/files/t"),
    )
    (row,) = deployment.objects("recordings", "show", event.recording_uuid)
    assert list(row)[: len(KEYS)] == KEYS
    assert row["recording_url"] == file.url
    assert [(one["kind"], one["leg_uuid"]) for one in row["call_events"]] == [("completed", "leg-a")]
    assert [one["status"] for one in row["transcriptions"]] == ["transcribed"]
    text = deployment.run("recordings", "show", event.recording_uuid).stdout
    for word in (event.recording_uuid, "stored", file.sha256, "completed", "transcribed"):
        assert word in text


def test_show_tells_of_each_attempt_that_failed(deployment, vonage):
    event, copy_ids = deployment.announce(recording_url=f"{vonage.origin}/v1/files/nothing")
    for _ in range(2):
        deployment.look_at(*copy_ids)
        deployment.run("recordings", "retry", event.recording_uuid)
    (row,) = deployment.objects("recordings", "show", event.recording_uuid)
    assert [(attempt["number"], attempt["state"]) for attempt in row["failed_attempts"]] == [
        (1, "waiting"),
        (2, "waiting"),
    ]
    assert all("404" in attempt["error"] for attempt in row["failed_attempts"])
    assert "number: 2" in deployment.run("recordings", "show", event.recording_uuid).stdout


@pytest.mark.parametrize("command", ["show", "retry"])
@pytest.mark.parametrize("more", [[], ["--json"]])
def test_an_unknown_recording_is_exit_1_and_says_where_to_look(deployment, command, more):
    result = deployment.run("recordings", command, "nobody", *more)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == "Error: There is no recording nobody. See all with: flask recordings list\n"


@pytest.mark.parametrize("command", ["show", "retry"])
def test_no_recording_at_all_is_a_wrong_use(deployment, command):
    assert deployment.run("recordings", command).exit_code == 2


# --- retry ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", ["500", "401"])
def test_retry_makes_what_is_not_stored_due_now(deployment, vonage, fault):
    event = deployment.archive(vonage.add_file(faults=[fault]))
    result = deployment.run("recordings", "retry", event.recording_uuid)
    assert result.exit_code == 0
    assert "1 copy is due now" in result.stdout
    assert event.recording_uuid in result.stdout
    deployment.work()
    assert deployment.objects("recordings", "list")[0]["state"] == "stored"


def test_retry_in_json(deployment, vonage):
    event = deployment.archive(vonage.add_file(faults=["500"]))
    (said,) = deployment.objects("recordings", "retry", event.recording_uuid)
    assert said == {"recording_uuid": event.recording_uuid, "copies_due": 1}


def test_there_may_be_nothing_to_try(deployment, vonage):
    stored = deployment.archive(vonage.add_file())
    empty, _ = deployment.announce(recording_url="", size=0)
    for event in (stored, empty):
        result = deployment.run("recordings", "retry", event.recording_uuid)
        assert result.exit_code == 0
        assert "nothing to try" in result.stdout


# --- A database that cannot be used -----------------------------------------------------------------------------------


@pytest.mark.parametrize("words", [("recordings", "list"), ("recordings", "show", "r"), ("recordings", "retry", "r")])
def test_a_database_that_cannot_be_used_is_one_sentence_and_what_to_do(deploy, tmp_path, words):
    (tmp_path / "folder.db").mkdir()
    result = deploy(DATABASE_URL=f"sqlite:///{tmp_path}/folder.db").run(*words)
    assert (result.exit_code, result.stdout) == (1, "")
    assert "The database cannot be used right now" in result.stderr
    assert "Check DATABASE_URL" in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("locale", [{"PYTHONIOENCODING": "latin-1"}, {"PYTHONIOENCODING": "ascii:strict"}, LANG_C])
@pytest.mark.parametrize("words", [("recordings", "show"), ("recordings", "list"), ("deliveries", "show")])
def test_a_character_that_the_terminal_lacks_is_escaped_and_stops_no_command(
    deployment, make_environ, bare_environ, flask_process, tmp_path, locale, words
):
    event, _ = deployment.announce(conversation_uuid="CON-1", flow="voicemail")
    call = Call("CON-1", "leg", "caller \N{GRINNING FACE}", "2", "voicemail", format="mp3", channels=1)
    deployment.wiring.intake.note_call(call, deployment.wiring.settings.vonage_application_id)
    ids = {"recordings show": [event.recording_uuid], "recordings list": [], "deliveries show": ["1"]}[" ".join(words)]
    done = flask_process([*words, *ids], bare_environ | make_environ(tmp_path) | locale)
    assert (done.returncode, "Traceback" in done.stderr) == (0, False), done.stderr
    if words == ("recordings", "show"):
        # Where the encoding is ASCII, click writes UTF-8.
        shown = "\\U0001f600" if "latin-1" in locale.values() else "\N{GRINNING FACE}"
        assert f"caller {shown}" in done.stdout


def test_an_argument_that_is_no_text_is_told_in_one_line(
    deployment, make_environ, bare_environ, flask_process, tmp_path
):
    deployment.announce()
    done = flask_process(["recordings", "show", b"\xff"], bare_environ | make_environ(tmp_path))
    assert (done.returncode, "Traceback" in done.stderr) == (1, False), done.stderr
    assert "PYTHONUTF8=1" in done.stderr
