"""`flask notify`: whether people and programs are reached, what they were told, and what is sent once more."""

from __future__ import annotations

import base64
import threading

import pytest
from standardwebhooks import Webhook

from recordings.care.programs import EventLoop
from recordings.model import State
from tests.services.listener import listening

__all__ = ["listening"]

SECRET = "whsec_" + base64.b64encode(b"a" * 32).decode()


@pytest.fixture
def told(deploy, listening):
    """A deployment that tells people and a program, both on the test's own server."""
    people = f"json://user:hunter2@127.0.0.1:{listening.port}/people"
    return deploy(NOTIFY_URLS=people, EVENT_WEBHOOK_URL=f"{listening.url}/hook", EVENT_WEBHOOK_SECRET=SECRET)


@pytest.fixture
def send_next(told):
    """`send_next()`: one attempt at the event that is due, as a worker makes it."""
    return lambda: EventLoop(told.wiring.telling.events, told.wiring.telling.program, lambda attempts: 0.0).send_next()


def fail_a_copy(deployment):
    event, copy_ids = deployment.announce()
    leases = deployment.wiring.leases
    leases.failed(leases.claim(copy_ids[0]), "The file is gone.")
    return event


def test_test_tells_everybody_and_says_what_they_answered(told, listening):
    result = told.run("notify", "test")
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.splitlines()[1] == "127.0.0.1: HTTP 204"
    assert result.stdout.startswith("json-")
    people, program = listening.received
    assert people.json["title"] == "Tapekeeper: a test, nothing is wrong"
    for words in ("no worker archives", "less than 3 days", "blocked", "failed", "brought no recording"):
        assert words in people.json["message"]
    assert Webhook(SECRET).verify(program.body, program.headers)["type"] == "webhook.test"


def test_test_names_who_did_not_take_it_without_the_address_and_exits_1(told, listening):
    listening.answers = [500, 503]
    result = told.run("notify", "test")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "check this address in NOTIFY_URLS" in result.stderr
    assert "127.0.0.1 answered HTTP 503" in result.stderr
    assert "hunter2" not in result.output


def test_test_where_nobody_is_told_says_what_to_set(deploy):
    result = deploy().run("notify", "test")
    assert result.exit_code == 1
    assert "NOTIFY_URLS" in result.stderr
    assert "EVENT_WEBHOOK_URL" in result.stderr


@pytest.mark.parametrize(
    ("settings", "name"),
    [
        ({"NOTIFY_URLS": "slack://hunter2"}, "NOTIFY_URLS"),
        ({"EVENT_WEBHOOK_URL": "https://a.example/hunter2"}, "EVENT_WEBHOOK_SECRET"),
    ],
)
def test_what_cannot_be_told_stops_the_start_in_one_line_without_the_address(deploy, settings, name):
    with pytest.raises(Exception, match=f"^{name} is ") as caught:
        deploy(**settings)
    assert "hunter2" not in str(caught.value)


def test_list_shows_events_and_replay_sends_the_failed_ones_again(told, listening, send_next):
    event = fail_a_copy(told)
    listening.answers = [410]
    assert send_next() is False
    (row,) = told.objects("notify", "list", "--state", "failed")
    assert (row["to"], row["type"], row["subject"], row["attempts"]) == (
        *("program", "recording.failed", event.recording_uuid),
        1,
    )
    assert "HTTP 410" in told.run("notify", "list").stdout
    result = told.run("notify", "replay", "--failed")
    assert (result.exit_code, result.stdout) == (
        0,
        f"1: recording.failed of {event.recording_uuid} is sent once more.\n",
    )
    assert send_next() is True
    first, second = listening.received
    assert first.headers["webhook-id"] == second.headers["webhook-id"] == row["message_id"]
    assert told.objects("notify", "list", "--state", "failed") == []


def test_list_shows_what_people_know_to_be_wrong(told, listening):
    nothing = told.run("notify", "list")
    assert (nothing.exit_code, nothing.stdout) == (0, "")
    _, copy_ids = told.announce()
    leases = told.wiring.leases
    leases.retry_later(leases.claim(copy_ids[0]), State.BLOCKED, "The bucket is gone.", 3600)
    told.wiring.telling.notifier.look()
    (row,) = told.objects("notify", "list")
    assert (row["to"], row["kind"], row["number"]) == ("people", "blocked", 1)
    assert "blocked" in told.run("notify", "list").stdout
    assert "hunter2" not in told.run("notify", "list").output


@pytest.mark.parametrize(
    "words", [["replay"], ["replay", "1", "--failed"], ["replay", "0"], ["list", "--state", "new"]]
)
def test_a_wrong_use_is_exit_2(told, words):
    assert told.run("notify", *words).exit_code == 2


def test_replay_of_an_unknown_event_or_for_nobody_is_exit_1(told, deploy):
    unknown = told.run("notify", "replay", "7")
    assert unknown.exit_code == 1
    assert "flask notify list" in unknown.stderr
    nobody = deploy().run("notify", "replay", "--failed")
    assert nobody.exit_code == 1
    assert "EVENT_WEBHOOK_URL" in nobody.stderr


def test_a_worker_tells_both_by_itself_and_stops(told, listening, until):
    fail_a_copy(told)
    wiring = told.wiring
    wiring.engine.start()
    until(lambda: len(listening.received) == 2, "people and the program are told")
    assert {request.path for request in listening.received} == {"/people", "/hook"}
    wiring.close()
    ours = {"tapekeeper-events", "tapekeeper-notices"}
    until(lambda: not ours & {thread.name for thread in threading.enumerate()}, "the loops have ended")


def test_a_web_process_without_a_worker_tells_people_that_nobody_archives(deploy, listening, until):
    people = f"json://127.0.0.1:{listening.port}/people"
    deployment = deploy(NOTIFY_URLS=people, EMBEDDED_WORKER="false")
    fail_a_copy(deployment)
    deployment.wiring.start_embedded_worker()
    (request,) = until(lambda: listening.received, "people are told")
    assert request.json["title"] == "Tapekeeper: 1 copy has failed"


def test_without_a_program_no_event_is_written(deploy):
    deployment = deploy()
    fail_a_copy(deployment)
    assert deployment.objects("notify", "list") == []
