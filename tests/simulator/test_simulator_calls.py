"""Calls take the course that their NCCO describes, and say so in the events of real traffic."""

from __future__ import annotations

import hashlib
import json
import re
from urllib.parse import parse_qsl

import jwt
import pytest

from simulator import answer_urls

TALK = {"action": "talk", "text": "Hello"}
CONNECT = {"action": "connect", "from": "447700900000", "endpoint": [{"type": "phone", "number": "447700900002"}]}


def recorder(application, path="/recordings", **options):
    return {"action": "record", "eventUrl": [application.origin + path], **options}


def statuses(application, path="/events"):
    return [request.json.get("status") or request.json.get("type") for request in application.heard_at(path)]


def claims_of(heard):
    return jwt.decode(heard.authorization.removeprefix("Bearer "), options={"verify_signature": False})


@pytest.fixture
def call(vonage, application):
    """Places a call that is answered with one NCCO a leg."""

    def place(*nccos, **plan):
        urls = [application.answer(f"/answer/{number}", ncco) for number, ncco in enumerate(nccos)]
        plan.setdefault("event_url", f"{application.origin}/events")
        return vonage.place_call(*urls, **plan)

    return place


def test_a_voicemail_is_announced_before_the_call_completes(call, application):
    result = call([TALK, recorder(application, endOnKey="#"), TALK])
    assert result.ok
    assert statuses(application) == ["started", "ringing", "answered", "completed"]
    paths = [request.path for request in application.heard]
    assert paths.index("/recordings") < len(paths) - 1
    assert application.heard[-1].json["status"] == "completed"


def test_a_whole_call_is_announced_after_it_completed(call, application):
    result = call([recorder(application), CONNECT])
    assert result.ok
    assert application.heard[-1].path == "/recordings"
    assert statuses(application).count("completed") == 2
    legs = {request.json["uuid"]: request.json["direction"] for request in application.heard_at("/events")}
    assert {direction: bool(re.fullmatch("[0-9a-f]{32}", leg)) for leg, direction in legs.items()} == {
        "inbound": True,
        "outbound": False,
    }


def test_the_recording_event_has_the_seven_fields_of_real_ones(call, application):
    made = call([recorder(application, timeOut=10)]).recordings[0]
    event = application.heard_at("/recordings")[0].json
    assert list(event) == [
        "conversation_uuid",
        "end_time",
        "recording_url",
        "recording_uuid",
        "size",
        "start_time",
        "timestamp",
    ]
    assert re.fullmatch(r"CON-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", event["conversation_uuid"])
    for name, pattern in {"start_time": r":\d\dZ", "end_time": r":\d\dZ", "timestamp": r":\d\d\.\d{3}Z"}.items():
        assert re.search(pattern + "$", event[name])
    assert event["start_time"] < event["end_time"]
    assert event["recording_uuid"] not in event["recording_url"]
    assert (event["recording_uuid"], event["recording_url"]) == (made.recording_uuid, made.url)
    assert event["size"] == made.size == made.file.size


@pytest.mark.parametrize(
    ("options", "format", "channels", "kind"),
    [
        ({}, "mp3", 1, "audio/mpeg"),
        ({"format": "wav"}, "wav", 1, "audio/wav"),
        ({"format": "ogg"}, "ogg", 1, "audio/ogg"),
        ({"split": "conversation", "channels": 2}, "mp3", 2, "audio/mpeg"),
        ({"split": "conversation", "channels": 2, "format": "wav"}, "wav", 2, "audio/wav"),
        ({"split": "conversation", "channels": 5}, "wav", 5, "audio/wav"),
    ],
)
def test_the_file_has_the_format_and_channels_of_the_ncco(call, application, client, options, format, channels, kind):
    made = call([recorder(application, **options), CONNECT]).recordings[0]
    assert (made.format, made.channels) == (format, channels)
    reply = client.get(made.url)
    assert reply.headers["Content-Type"] == kind
    assert hashlib.sha256(reply.content).hexdigest() == made.sha256


def test_a_conversation_is_recorded_once_to_its_own_url(call, application):
    room = {"action": "conversation", "name": "room", "record": True, "eventUrl": [f"{application.origin}/recordings"]}
    result = call([room], [room])
    assert len(result.recordings) == 1
    transfers = [r.json for r in application.heard_at("/events") if r.json.get("type") == "transfer"]
    assert {transfer["conversation_uuid_to"] for transfer in transfers} == {result.recordings[0].conversation_uuid}
    assert all("status" not in transfer and "conversation_uuid" not in transfer for transfer in transfers)


@pytest.mark.parametrize(("moderator_joins", "recordings"), [(True, 1), (False, 0)])
def test_a_moderated_conversation_is_recorded_only_if_the_moderator_joins(
    call, application, moderator_joins, recordings
):
    room = {"action": "conversation", "name": "room", "record": True, "eventUrl": [f"{application.origin}/recordings"]}
    attendee, moderator = {**room, "startOnEnter": False}, {**room, "endOnExit": True}
    result = call(*([[attendee], [moderator]] if moderator_joins else [[attendee]]))
    assert len(result.recordings) == len(application.heard_at("/recordings")) == recordings


def test_a_recording_without_an_event_url_goes_to_the_applications(call, application):
    assert call([{"action": "record", "endOnKey": "1"}]).ok
    assert sum("recording_url" in request.json for request in application.heard_at("/events")) == 1


def test_several_records_make_several_recordings_of_one_conversation(call, application):
    ncco = [recorder(application, endOnKey="1"), recorder(application, endOnKey="2"), recorder(application), CONNECT]
    made = call(ncco).recordings
    assert len({recording.recording_uuid for recording in made}) == 3
    assert len({recording.sha256 for recording in made}) == 3
    assert len({recording.conversation_uuid for recording in made}) == 1


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_the_answer_request_is_signed_over_what_it_carries(vonage, application, secret, application_id, method):
    url = application.answer("/answer", [TALK]) + "?name=demo-room"
    vonage.place_call(url, method=method, params={"custom_data": {"key": "caf\u00e9"}})
    asked = application.heard_at("/answer")[0]
    pairs = dict(parse_qsl(asked.query))
    body = json.dumps(pairs, separators=(",", ":"), ensure_ascii=False).encode() if method == "GET" else asked.body
    claims = claims_of(asked)
    assert asked.method == method
    assert claims["payload_hash"] == hashlib.sha256(body).hexdigest()
    assert claims["application_id"] == application_id
    told = pairs if method == "GET" else asked.json
    assert {"from", "to", "uuid", "conversation_uuid"} <= set(told)
    assert pairs["name"] == "demo-room"


def test_an_event_by_get_reads_back_whole(vonage, application):
    event = vonage.recording_event(vonage.add_file(old_url=True))
    assert vonage.post_recording_event(f"{application.origin}/recordings?flow=call", event, method="GET").accepted
    heard = application.heard[0]
    pairs = dict(parse_qsl(heard.query))
    assert pairs == {"flow": "call", **{name: str(value) for name, value in event.items()}}
    compact = json.dumps(pairs, separators=(",", ":")).encode()
    assert claims_of(heard)["payload_hash"] == hashlib.sha256(compact).hexdigest()


def test_a_bad_ncco_ends_the_call_with_an_error_event_and_no_recording(call, application):
    result = call([{"action": "record", "format": "flac"}])
    assert not result.ok
    assert len(result.complaints) == 2
    assert result.recordings == []
    assert any("Syntax error in NCCO" in request.json.get("reason", "") for request in application.heard_at("/events"))


@pytest.mark.parametrize(
    ("status", "kind", "body", "words"),
    [
        (500, "application/json", b"[]", "must answer 200, not 500"),
        (200, "text/html", b'[{"action":"talk","text":"x"}]', "must be application/json, not text/html"),
        (200, "application/json", b"<html>", "not JSON"),
        (200, "application/json; charset=utf-8", b"{}", "must be an array"),
    ],
)
def test_a_bad_answer_is_a_complaint(vonage, application, status, kind, body, words):
    application.answers["/answer"] = [(status, kind, body)]
    result = vonage.place_call(f"{application.origin}/answer")
    assert len(result.complaints) == 1
    assert words in result.complaints[0]


@pytest.mark.parametrize(("status", "attempts"), [(429, 2), (503, 2), (504, 2), (500, 1), (404, 1), (401, 1), (400, 1)])
def test_an_event_is_sent_once_more_only_after_some_statuses(vonage, application, status, attempts):
    application.answers["/recordings"] = [(status, "text/plain", b"")]
    sent = vonage.post_recording_event(f"{application.origin}/recordings", vonage.recording_event())
    assert len(application.heard) == sent.replies[0].attempts == attempts
    assert len({request.authorization for request in application.heard}) == 1
    assert not sent.accepted


def test_an_event_that_is_taken_the_second_time_is_accepted(vonage, application):
    application.answers["/recordings"] = [(503, "text/plain", b""), (204, "text/plain", b"")]
    sent = vonage.post_recording_event(f"{application.origin}/recordings", vonage.recording_event())
    assert sent.accepted
    assert sent.replies[0].attempts == 2


def test_a_dead_application_is_tried_twice_and_reported(vonage, application):
    sent = vonage.post_recording_event("http://127.0.0.1:9/recordings", vonage.recording_event())
    assert sent.replies[0].status is None
    assert "ConnectionError" in sent.replies[0].error
    assert sent.replies[0].attempts == 2


def test_the_fallback_url_is_told_why(vonage, application):
    application.answers["/answer"] = [(500, "text/plain", b"")]
    fallback = application.answer("/fallback", [recorder(application, endOnKey="#")])
    result = vonage.place_call(f"{application.origin}/answer", method="POST", fallback_url=fallback)
    assert result.ok
    told = application.heard_at("/fallback")[0].json
    assert told["reason"] == "HTTP 500"
    assert told["original_request"] == {"url": f"{application.origin}/answer", "type": "answer"}


@pytest.mark.parametrize(("fault", "tokens"), [("duplicate", 1), ("resigned", 2)])
def test_an_event_can_come_twice(call, application, fault, tokens):
    result = call([recorder(application, endOnKey="#")], event_fault=fault)
    heard = application.heard_at("/recordings")
    assert len(heard) == len(result.recordings[0].replies) == 2
    assert len({request.body for request in heard}) == 1
    assert len({request.authorization for request in heard}) == tokens


def test_an_unsigned_event_has_no_token(call, application):
    call([recorder(application, endOnKey="#")], event_fault="unsigned")
    assert application.heard_at("/recordings")[0].authorization is None


def test_an_unknown_event_fault_is_refused(vonage):
    with pytest.raises(ValueError, match="knows no event fault"):
        vonage.post_recording_event("http://127.0.0.1:9/", {}, fault="sulk")


def test_an_empty_recording_has_neither_url_nor_bytes(call, application):
    result = call([recorder(application, endOnKey="#")], empty=True)
    event = application.heard_at("/recordings")[0].json
    assert (event["recording_url"], event["size"]) == ("", 0)
    assert result.recordings[0].file is None


def test_the_files_of_a_call_misbehave_as_ordered(call, application, client):
    made = call([recorder(application, endOnKey="#")], file_faults=["404"]).recordings[0]
    assert [client.get(made.url).status_code for _ in range(2)] == [404, 200]


def test_any_bytes_can_be_posted_as_an_event(vonage, application):
    vonage.post_recording_event(f"{application.origin}/recordings", b"\xff not json")
    heard = application.heard[0]
    assert heard.body == b"\xff not json"
    assert claims_of(heard)["payload_hash"] == hashlib.sha256(heard.body).hexdigest()


def test_the_five_flows_have_their_urls():
    base = "http://127.0.0.1:1"
    assert answer_urls(base, "split") == [f"{base}/webhooks/answer/split"]
    assert answer_urls(base, "conversation", "a b") == [f"{base}/webhooks/answer/conversation?name=a+b"]
    assert answer_urls(base, "moderated") == [
        f"{base}/webhooks/answer/moderated?name=demo-room",
        f"{base}/webhooks/answer/moderated?name=demo-room&role=moderator",
    ]
    with pytest.raises(ValueError, match="no call flow 'fax'"):
        answer_urls(base, "fax")


def test_a_flow_is_called_with_its_events(vonage, application):
    application.answer("/webhooks/answer/split", [recorder(application, split="conversation", channels=2), CONNECT])
    result = vonage.call_flow(application.origin, "split")
    assert result.ok
    assert application.heard_at("/webhooks/events")
