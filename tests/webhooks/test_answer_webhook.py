"""A caller always gets an NCCO that records: whatever the request, the plugin or the catalogue does."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from urllib.parse import urlencode

import pytest

from recordings.errors import CatalogueUnavailable
from recordings.timeouts import TimeLimit
from webhooks import FlowSettings, Verifier

FIXTURES = Path(__file__).parent.parent / "fixtures" / "vonage"
SAMPLES = ["answer-01-get-2020.parsed", "answer-02-real-2023-post", "answer-04-dotnet-all-fields"]
CALL = {"uuid": "u", "conversation_uuid": "CON-1", "from": "447700900123", "to": "447700900000"}


def load(name):
    return json.loads((FIXTURES / f"{name}.json").read_text())


def actions(reply):
    assert reply.status_code == 200
    assert reply.content_type == "application/json"
    return [action["action"] for action in reply.get_json()]


@pytest.mark.parametrize("name", SAMPLES)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_every_sample_is_answered_and_noted(house, method, name):
    sample = load(name)
    flat = {key: json.dumps(value) if isinstance(value, dict) else value for key, value in sample.items()}
    reply = house.post("answer", sample) if method == "POST" else house.get("answer", flat, query=urlencode(flat))
    assert actions(reply) == ["talk", "record", "talk"]
    (call,) = house.noted()
    assert (call.uuid, call.conversation_uuid) == (sample["uuid"], sample["conversation_uuid"])
    assert (call.from_, call["from"], call.to) == (sample["from"], sample["from"], sample["to"])
    assert (call.region_url, call.from_user) == (sample.get("region_url"), sample.get("from_user"))
    assert call.params == sample
    assert (call.flow, call.format, call.channels) == ("voicemail", "mp3", 1)


def test_the_captured_request_of_2020_is_answered(make_house):
    house = make_house(verifier=Verifier((), allow_unsigned=True))
    target = (FIXTURES / "answer-01-get-2020.http").read_text().split()[1]
    assert actions(house.client.get(target)) == ["talk", "record", "talk"]
    assert house.noted()[0].uuid == "0A0000000123ABCD1"


@pytest.mark.parametrize("flow", ["voicemail", "call", "split", "conversation", "moderated"])
def test_the_flow_in_the_path_answers(house, flow):
    reply = house.post(f"answer/{flow}", CALL)
    assert ("connect" in actions(reply)) == (flow in ("call", "split"))
    assert house.noted()[0].flow == flow


def test_an_unknown_flow_in_the_path_is_logged_and_the_configured_one_answers(house, caplog):
    assert actions(house.post("answer/fax", CALL)) == ["talk", "record", "talk"]
    assert "names no flow of ours" in caplog.text


@pytest.mark.parametrize(
    "body",
    [b"", b"nonsense", b"[]", b"null", b"5", b"\xff", b"[" * 9999, b'{"uuid": {"a": 1}, "from": ["x"], "to": 5}']
    + [json.dumps(CALL | {name: value}).encode() for name in CALL for value in (None, 5, [], {}, "\ud800", "x" * 300)],
)
def test_no_body_keeps_a_caller_from_an_ncco(house, body):
    assert actions(house.post("answer", body)) == ["talk", "record", "talk"]


def test_a_field_of_the_wrong_type_counts_as_missing(house):
    house.post("answer", CALL | {"from": ["x"], "to": 447700900000, "region_url": ["x"]})
    (call,) = house.noted()
    assert (call.from_, call.to, call.region_url) == (None, "447700900000", None)
    assert call["from"] == ["x"]


def test_name_and_role_come_from_the_url_alone(house):
    body = CALL | {"name": "theirs", "role": "moderator"}
    (room,) = house.post("answer/moderated?name=ours", body).get_json()
    assert (room["name"], room["startOnEnter"]) == ("ours", False)
    (room,) = house.post("answer/moderated?name=ours&role=moderator", CALL).get_json()
    assert (room["startOnEnter"], room["endOnExit"], room["record"]) == (True, True, True)


def test_a_get_takes_name_and_role_whether_the_hash_covers_them_or_not(house):
    ours = {"name": "board", "role": "moderator"}
    for covered in (CALL, ours | CALL):
        (room,) = house.get("answer/moderated", covered, query=urlencode(ours | CALL)).get_json()
        assert (room["name"], room["endOnExit"]) == ("board", True)


def test_a_caller_in_moderators_moderates(make_house):
    settings = FlowSettings("https://tapes.example", moderators=frozenset({"447700900123"}))
    (room,) = make_house(flows=settings).post("answer/moderated", CALL).get_json()
    assert room["endOnExit"] is True


def test_the_host_header_is_not_believed(house):
    reply = house.post("answer", CALL, headers={"Host": "evil.example", "X-Forwarded-Host": "evil.example"})
    assert reply.get_json()[1]["eventUrl"] == ["https://tapes.example/webhooks/recordings?flow=voicemail"]


def test_a_plugin_answers_in_place_of_the_flow(make_house):
    seen = []
    ncco = [{"action": "talk", "text": "Hello from a plugin."}]

    def answer_call(call):
        seen.append(call)
        return ncco

    house = make_house(answer_call=answer_call)
    assert house.post("answer/split", CALL | {"custom_data": '{"a": 1}'}).get_json() == ncco
    assert (seen[0].flow, seen[0].channels, seen[0]["custom_data"]) == ("split", 2, {"a": 1})
    (call,) = house.noted()
    assert (call.flow, call.format, call.channels) == ("plugin", None, None)


def raising(call):
    raise RuntimeError("a stranger's fault")


class Loop(dict):
    def __init__(self):
        super().__init__()
        self["me"] = self


@pytest.mark.parametrize(
    "answer_call",
    [
        raising,
        lambda call: [],
        lambda call: {},
        lambda call: "talk",
        lambda call: [["talk"]],
        lambda call: [{"action": object()}],
        lambda call: [{"level": float("nan")}],
        lambda call: [{("a", "b"): 1}],
        lambda call: [Loop()],
        lambda call: call["no such field"],
    ],
)
def test_a_plugin_that_fails_is_logged_and_the_flow_answers(make_house, caplog, answer_call):
    house = make_house(answer_call=answer_call)
    assert actions(house.post("answer", CALL)) == ["talk", "record", "talk"]
    assert "the configured flow answers" in caplog.text


def test_a_plugin_that_hangs_does_not_hold_the_caller(make_house, caplog, until):
    release, done = threading.Event(), []

    def answer_call(call):
        release.wait(10)
        done.append(call)
        return [{"action": "talk", "text": "At last."}]

    house = make_house(answer_call=answer_call, time_limit=TimeLimit(0.05, most=2))
    for _ in range(3):
        assert actions(house.post("answer", CALL)) == ["talk", "record", "talk"]
    assert caplog.text.count("it took longer than 0.05 s; the configured flow answers") == 2
    assert caplog.text.count("it was not called: 2 earlier calls still run") == 1
    release.set()
    until(lambda: len(done) == 2, "those that hung end")
    until(lambda: actions(house.post("answer", CALL)) == ["talk"], "there is room again, and it answers in time")


def test_a_plugin_that_itself_ran_into_a_timeout_failed(make_house, caplog):
    def answer_call(call):
        raise TimeoutError("the CRM did not answer")

    assert actions(make_house(answer_call=answer_call).post("answer", CALL)) == ["talk", "record", "talk"]
    assert "answer_call failed" in caplog.text
    assert "the CRM did not answer" in caplog.text


@pytest.mark.parametrize("fault", [CatalogueUnavailable("down"), ValueError("a fault of ours")])
def test_a_broken_catalogue_costs_the_note_and_not_the_call(house, caplog, fault):
    house.intake.broken = fault
    assert actions(house.post("answer", CALL)) == ["talk", "record", "talk"]
    assert house.context.call_notes.wait(10)
    assert "is not noted" in caplog.text


def test_a_request_without_a_call_is_answered_and_not_noted(house):
    assert actions(house.post("answer", {})) == ["talk", "record", "talk"]
    assert house.noted() == []


def test_the_fallback_is_static_says_why_in_the_log_and_asks_no_plugin(make_house, caplog):
    house = make_house(answer_call=raising)
    body = load("answer-05-fallback") | CALL
    assert actions(house.post("fallback", body)) == ["talk", "record", "talk"]
    assert "Connection closed." in caplog.text
    assert house.noted()[0].flow == "voicemail"
    assert actions(house.post("fallback", b"nonsense")) == ["talk", "record", "talk"]


def test_a_fault_of_ours_still_ends_in_an_ncco_that_records(make_house, caplog):
    house = make_house(verifier=Verifier(("s" * 40,), clock=lambda: 1 / 0))
    assert actions(house.post("answer/conversation", CALL)) == ["talk", "record", "talk"]
    assert "this is a fault of ours" in caplog.text
