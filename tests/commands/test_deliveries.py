"""`flask deliveries` and `flask recordings missing`: what came can be seen, and rescued once a secret is mended."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from datetime import UTC, datetime, timedelta

import pytest

from recordings.catalogue.missing import MissingCalls
from recordings.model import Call, CallEvent, Delivery

BODY = json.dumps(
    {
        "recording_uuid": "r-1",
        "conversation_uuid": "CON-1",
        "recording_url": "https://api.nexmo.com/v1/files/x",
        "size": 10,
    }
).encode()
RIGHT = "the-right-secret-which-the-dashboard-shows"


def encode(value):
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()


def sign(body, secret=RIGHT):
    claims = {"iat": int(time.time()), "jti": "j-1", "iss": "Vonage", "payload_hash": hashlib.sha256(body).hexdigest()}
    head = {"alg": "HS256", "typ": "JWT"}
    message = f"{encode(json.dumps(head).encode())}.{encode(json.dumps(claims).encode())}"
    return {"Authorization": f"Bearer {message}.{encode(hmac.digest(secret.encode(), message.encode(), 'sha256'))}"}


@pytest.fixture
def misconfigured(deploy):
    """A deployment with a wrong secret, to which Vonage has sent a recording event, in vain."""
    deployment = deploy(VONAGE_SIGNATURE_SECRET="the-secret-of-another-account")
    reply = deployment.client.post("/webhooks/recordings?flow=call", data=BODY, headers=sign(BODY))
    assert reply.status_code == 401
    assert deployment.wiring.webhook_context.refused.wait(10)
    return deployment


def test_a_recording_is_rescued_once_the_secret_is_mended(misconfigured, deploy):
    assert misconfigured.objects("recordings", "list") == []
    (refused,) = misconfigured.objects("deliveries", "list", "--outcome", "refused")
    assert (refused["route"], refused["recording_uuid"]) == ("recordings", None)
    still = misconfigured.run("deliveries", "replay", refused["id"])
    assert still.exit_code == 1
    assert "VONAGE_SIGNATURE_SECRET" in still.stdout

    mended = deploy(VONAGE_SIGNATURE_SECRET=RIGHT)
    done = mended.run("deliveries", "replay", "--outcome", "refused")
    assert (done.exit_code, done.stdout) == (0, "1: it was refused before. Now it is taken in: a new recording.\n")
    (recording,) = mended.objects("recordings", "list")
    assert (recording["recording_uuid"], recording["flow"], recording["state"]) == ("r-1", "call", "pending")

    noted = [(entry.action, entry.detail) for entry in mended.wiring.people.audit.entries()]
    assert noted == [("replay", "1 deliveries, refused"), ("replay", "delivery 1")]
    again = mended.objects("deliveries", "replay", refused["id"])
    assert again == [{"id": 1, "before": "new", "outcome": "repeat", "problem": None}]
    assert len(mended.objects("recordings", "list")) == 1
    nothing_left = mended.run("deliveries", "replay", "--outcome", "refused")
    assert (nothing_left.exit_code, nothing_left.stdout) == (0, "")


def post(deployment, **changes):
    body = json.dumps(json.loads(BODY) | changes).encode()
    reply = deployment.client.post("/webhooks/recordings", data=body, headers=sign(body))
    assert reply.status_code == 204


def test_a_recording_whose_first_url_was_wrong_is_fetched_from_the_second_by_a_persons_word(deploy, vonage):
    deployment = deploy(VONAGE_SIGNATURE_SECRET=RIGHT, RECORDING_HOSTS=vonage.origin)
    file = vonage.add_file()
    post(deployment, recording_url="https://files.example/nowhere", size=file.size)
    deployment.work()
    post(deployment, recording_url=file.url, size=file.size)
    assert deployment.objects("recordings", "list")[0]["state"] == "blocked"
    (conflict,) = deployment.objects("deliveries", "list", "--outcome", "conflict")
    done = deployment.run("recordings", "adopt", conflict["id"])
    assert (done.exit_code, done.stdout) == (
        0,
        f"The recording has the URL of delivery {conflict['id']} now; 1 copy is due. A running worker fetches it.\n",
    )
    (entry,) = deployment.wiring.people.audit.entries(action="adopt")
    assert (entry.recording_id, entry.detail) == (1, f"delivery {conflict['id']}, conflict")
    deployment.work()
    assert deployment.objects("recordings", "list")[0]["state"] == "stored"
    again = deployment.run("recordings", "adopt", conflict["id"])
    assert (again.exit_code, "stored already" in again.stderr) == (1, True)


@pytest.mark.parametrize(("delivery_id", "told"), [(1, "only a conflict can be adopted"), (9, "flask deliveries list")])
def test_what_is_no_conflict_is_not_adopted(deploy, delivery_id, told):
    deployment = deploy()
    deployment.announce()
    done = deployment.run("recordings", "adopt", delivery_id)
    assert (done.exit_code, done.stdout) == (1, "")
    assert told in done.stderr


def test_show_tells_the_request_its_body_and_what_it_led_to(deploy):
    deployment = deploy(VONAGE_SIGNATURE_SECRET=RIGHT)
    headers = sign(BODY) | {"Content-Type": "application/json"}
    assert deployment.client.post("/webhooks/recordings?flow=call", data=BODY, headers=headers).status_code == 204
    (shown,) = deployment.objects("deliveries", "show", 1)
    assert shown["body"] == BODY.decode()
    assert (shown["content_type"], shown["query"], shown["jti"]) == ("application/json", "flow=call", "j-1")
    assert shown["led_to"] == ["recording r-1: pending"]
    text = deployment.run("deliveries", "show", 1).stdout
    assert "outcome: new" in text
    assert "led to: recording r-1: pending" in text
    assert BODY.decode() in text


def test_show_never_shows_a_token_nor_speaks_to_the_terminal(misconfigured):
    token = sign(BODY)["Authorization"].removeprefix("Bearer ")[:30]
    for options in ([], ["--json"]):
        assert token not in misconfigured.run("deliveries", "show", 1, *options).stdout
    evil = b"\x1b[2J\xc2\x9b2J"
    misconfigured.wiring.intake.keep(Delivery("events", "POST", "", "", evil, "a", True), "It is not JSON.")
    shown = misconfigured.run("deliveries", "show", 2).stdout
    assert evil.hex() in shown
    assert "\x1b" not in shown


def test_show_of_an_unknown_one_says_where_to_look(deploy):
    done = deploy().run("deliveries", "show", 7)
    assert done.exit_code == 1
    assert "flask deliveries list" in done.stderr


def test_list_shows_the_newest_first_as_the_list_of_recordings_does(deploy):
    deployment = deploy()
    events = [deployment.announce()[0] for _ in range(3)]
    newest_first = [event.recording_uuid for event in reversed(events)]
    for words, number in ((), 3), (("--limit", 2), 2):
        for what in ("deliveries", "recordings"):
            listed = deployment.objects(what, "list", *words)
            assert [row["recording_uuid"] for row in listed] == newest_first[:number]
    table = deployment.run("deliveries", "list").stdout
    assert table.index(newest_first[0]) < table.index(newest_first[2])


def test_list_filters_and_has_a_table(deploy):
    deployment = deploy()
    event, _ = deployment.announce()
    deployment.announce()
    listed = deployment.objects("deliveries", "list", "--recording", event.recording_uuid, "--since", "1h")
    assert [row["id"] for row in listed] == [1]
    assert deployment.objects("deliveries", "list", "--since", "2999-01-01") == []
    table = deployment.run("deliveries", "list").stdout
    assert event.recording_uuid in table
    nothing = deployment.run("deliveries", "list", "--outcome", "refused")
    assert (nothing.exit_code, nothing.stdout) == (0, "")


@pytest.mark.parametrize(
    "words",
    [
        ["replay"],
        ["replay", "1", "--outcome", "refused"],
        ["replay", "1", "--since", "1h"],
        ["list", "--since", "yesterday"],
        ["list", "--outcome", "wrong"],
        ["show", "0"],
    ],
)
def test_a_wrong_use_is_exit_2(deploy, words):
    assert deploy().run("deliveries", *words).exit_code == 2


def test_a_missing_recording_is_listed_with_its_calls_data(deploy):
    deployment = deploy(MISSING_GRACE_SECONDS="30")
    empty = deployment.run("recordings", "missing")
    assert (empty.exit_code, empty.stdout) == (0, ""), (empty.stderr, empty.exception)
    call = Call("CON-9", "leg", "447700900001", "447700900000", "voicemail", records=True)
    deployment.wiring.intake.note_call(call, "a")
    for kind in ("answered", "completed"):
        delivery = Delivery("events", "POST", "", "", b"{}", "a", True)
        deployment.wiring.intake.accept(delivery, [CallEvent(kind, ("CON-9",), "leg")])
    later = datetime.now(UTC) + timedelta(seconds=31)
    wiring = deployment.wiring
    MissingCalls(wiring.database, grace=30, clock=lambda: later, tell=wiring.plugins.recording_missing).settle()
    (found,) = deployment.objects("recordings", "missing")
    assert (found["conversation_uuid"], found["from"], found["to"], found["flow"]) == (
        "CON-9",
        "447700900001",
        "447700900000",
        "voicemail",
    )
    assert found["missing_since"]
    assert "CON-9" in deployment.run("recordings", "missing", "--since", "2026-01-01").stdout
    assert deployment.run("recordings", "missing", "--since", "2999-01-01").stdout == ""


@pytest.mark.parametrize("words", [["recordings", "adopt"], ["deliveries", "show"], ["deliveries", "replay"]])
@pytest.mark.parametrize("number", ["r-1", "0", "-1", "1.5", "9" * 30])
def test_what_is_no_number_of_a_delivery_is_answered_with_where_the_numbers_are(deploy, words, number):
    done = deploy().run(*words, "--", number)
    assert done.exit_code == 2
    assert "is no number of a delivery. The first column of flask deliveries list has them." in done.stderr
