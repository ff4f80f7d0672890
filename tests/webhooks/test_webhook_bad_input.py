"""What cannot be understood is refused with 4xx and kept; what cannot be committed is asked for again."""

from __future__ import annotations

import json
import logging
from urllib.parse import urlencode

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from recordings.errors import CatalogueUnavailable
from recordings.model import Announcement
from webhooks import Verifier

GOOD = {
    "recording_url": "https://api.nexmo.com/v1/files/aaaa",
    "recording_uuid": "rec-1",
    "conversation_uuid": "CON-1",
    "size": 5,
    "start_time": "2024-05-01T10:00:00Z",
    "end_time": "2024-05-01T10:00:30Z",
    "timestamp": "2024-05-01T10:00:31.744Z",
}


def changed(**fields):
    return json.dumps(GOOD | fields).encode()


def lacking(name):
    return json.dumps({key: value for key, value in GOOD.items() if key != name}).encode()


NOT_UNDERSTOOD = {
    "empty": b"",
    "no json": b"recording_url=https://api.nexmo.com/v1/files/a",
    "half": changed()[:-5],
    "array": b"[]",
    "array of one": b"[" + changed() + b"]",
    "text": b'"recording"',
    "null": b"null",
    "number": b"5",
    "empty object": b"{}",
    "nan": b'{"size": NaN}',
    "infinity": changed().replace(b'"size": 5', b'"size": -Infinity'),
    "not utf-8": changed().replace(b"rec-1", b"rec-\xff"),
    "utf-16": changed().decode().encode("utf-16"),
    "utf-8 surrogate": changed().replace(b"rec-1", b"rec-\xed\xa0\x80"),
    "gzip": b"\x1f\x8b\x08\x00",
    "two ids": changed().replace(b'"size": 5', b'"size": 5, "recording_uuid": "rec-2"'),
    "two urls": changed().replace(b'"size": 5', b'"size": 5, "recording_url": "https://api.nexmo.com/v1/files/b"'),
    "two types": b'{"type": "audio:record:done", "type": "transfer", "cid": "CON-1", "body": {"recording_id": "r"}}',
    "two rtc bodies": b'{"type": "audio:record:done", "cid": "CON-1", "body": {"recording_id": "r"}, "body": {}}',
    "two rtc urls": b'{"type": "audio:record:done", "cid": "CON-1", "body": {"recording_id": "r", '
    b'"destination_url": "https://api.nexmo.com/v1/files/a", "destination_url": "https://api.nexmo.com/v1/files/b"}}',
    "two speeches": b'{"conversation_uuid": "CON-1", "speech": {"recording_url": "https://x/a"}, "speech": {}}',
    "two speech urls": b'{"conversation_uuid": "CON-1", '
    b'"speech": {"recording_url": "https://x/a", "recording_url": "https://x/b"}}',
    "deep array": b'{"a":' * 10_000 + b"1" + b"}" * 10_000,
    "deep object": b"[" * 10_000 + b"]" * 10_000,
    "url number": changed(recording_url=5),
    "url list": changed(recording_url=["https://api.nexmo.com/v1/files/a"]),
    "url object": changed(recording_url={}),
    "long url": changed(recording_url="https://api.nexmo.com/" + "a" * 2030),
    "url with a line break": changed(recording_url="https://api.nexmo.com/\nx"),
    "url surrogate": changed(recording_url="https://api.nexmo.com/\ud800"),
    "no url": lacking("recording_url"),
    "no id": lacking("recording_uuid"),
    "null id": changed(recording_uuid=None),
    "empty id": changed(recording_uuid=""),
    "blank id": changed(recording_uuid="   "),
    "number id": changed(recording_uuid=5),
    "list id": changed(recording_uuid=["rec"]),
    "object id": changed(recording_uuid={"$ne": ""}),
    "long id": changed(recording_uuid="r" * 256),
    "nul id": changed(recording_uuid="r\x00"),
    "line break id": changed(recording_uuid="r\nINFO forged"),
    "c1 id": changed(recording_uuid="r\x9b"),
    "line separator id": changed(recording_uuid="r\u2028INFO forged"),
    "right-to-left id": changed(recording_uuid="r\u202e"),
    "isolated id": changed(recording_uuid="r\u2066"),
    "surrogate id": changed(recording_uuid="r\ud800"),
    "no event of ours": b'{"hello": "world"}',
    "rtc without body": b'{"type": "audio:record:done", "conversation_id": "CON-1"}',
    "rtc with a list": b'{"type": "audio:record:done", "conversation_id": "CON-1", "body": []}',
    "rtc without id": b'{"type": "audio:record:done", "cid": "CON-1", "body": {"destination_url": "https://x"}}',
    "transcription without id": b'{"status": "transcribed", "transcription_url": "https://x"}',
    "speech url is no text": b'{"conversation_uuid": "CON-1", "speech": {"recording_url": 5}}',
    "call id number": b'{"status": "ringing", "uuid": 5}',
    "call without any id": b'{"status": "ringing"}',
}


UNREADABLE_HINTS = {
    "huge number": changed().replace(b'"size": 5', b'"size": ' + b"9" * 5000),
    "big number": changed(size=2**63),
    "negative size": changed(size=-1),
    "true size": changed(size=True),
    "broken size": changed(size=5.5),
    "whole but float": changed(size=5.0),
    "infinite float": changed().replace(b'"size": 5', b'"size": 1e999'),
    "size in words": changed(size="five"),
    "size in other digits": changed(size="٣"),
    "signed size": changed(size="+5"),
    "long digits": changed(size="9" * 21),
    "size list": changed(size=[5]),
}


@pytest.mark.parametrize("name", UNREADABLE_HINTS)
def test_a_size_that_cannot_be_read_costs_no_recording(house, name, caplog):
    assert house.post("recordings", UNREADABLE_HINTS[name]).status_code == 204
    (event,) = house.events
    assert (event.recording_uuid, event.size) == ("rec-1", None)
    assert "huge" in name or "size cannot be read" in caplog.text


JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda values: st.lists(values, max_size=3) | st.dictionaries(st.text(max_size=5), values, max_size=3),
    max_leaves=5,
)
HINTS = (
    "conversation_uuid",
    "size",
    "start_time",
    "end_time",
    "timestamp",
    "status",
    "uuid",
    "from",
    "to",
    "direction",
    "reason",
    "dtmf",
    "type",
)
RTC_HINTS = ("cid", "conversation_id", "format", "size", "start_time", "end_time", "timestamp", "channels", "leg_id")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=100)
@given(
    junk=st.fixed_dictionaries({}, optional=dict.fromkeys(HINTS, JUNK)), route=st.sampled_from(["recordings", "events"])
)
def test_junk_in_the_optional_fields_costs_no_recording(house, junk, route):
    before = len(house.events)
    assert house.post(route, changed(**junk)).status_code == 204
    (event,) = house.events[before:]
    assert (event.recording_uuid, event.recording_url) == ("rec-1", GOOD["recording_url"])


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=100)
@given(junk=st.fixed_dictionaries({}, optional=dict.fromkeys(RTC_HINTS, JUNK)))
def test_junk_in_an_rtc_recording_costs_it_neither(house, junk):
    before = len(house.events)
    body = junk | {"recording_id": "rec-1", "destination_url": GOOD["recording_url"]}
    ids = {name: junk[name] for name in ("cid", "conversation_id") if name in junk}
    rtc = ids | {"type": "audio:record:done", "timestamp": junk.get("timestamp"), "body": body}
    assert house.post("events", json.dumps(rtc).encode()).status_code == 204
    assert isinstance(house.events[before], Announcement)


@pytest.mark.parametrize("odd", [5, [], {}, "\u202e", "x" * 300, True])
def test_an_odd_leg_costs_neither_the_call_nor_what_was_spoken(house, odd):
    speech = {"recording_url": "https://api.nexmo.com/v1/files/bbbb"}
    spoken = {"uuid": odd, "cid": odd, "conversation_uuid": "CON-1", "speech": speech}
    assert house.post("events", json.dumps(spoken).encode()).status_code == 204
    assert [event.recording_uuid for event in house.events if isinstance(event, Announcement)] == ["bbbb"]


ODD_CONVERSATIONS = {
    "absent": lacking("conversation_uuid"),
    "null": changed(conversation_uuid=None),
    "empty": changed(conversation_uuid=""),
    "blank": changed(conversation_uuid="  "),
    "a number": changed(conversation_uuid=5),
    "a list": changed(conversation_uuid=["CON-1"]),
    "too long": changed(conversation_uuid="c" * 256),
    "a surrogate": changed(conversation_uuid="\udfff"),
    "twice": changed().replace(b'"size": 5', b'"size": 5, "conversation_uuid": "CON-2"'),
}


@pytest.mark.parametrize("body", ODD_CONVERSATIONS.values(), ids=ODD_CONVERSATIONS)
@pytest.mark.parametrize("route", ["recordings", "events", "transcriptions"])
def test_a_recording_is_accepted_without_a_conversation(house, route, body, caplog):
    assert house.post(route, body).status_code == 204
    (event,) = house.events
    assert (event.recording_uuid, event.conversation_uuid) == ("rec-1", "")
    assert "Recording rec-1 is announced without a conversation" in caplog.text


def test_what_was_spoken_is_accepted_without_a_conversation(house):
    spoken = {"uuid": "u", "speech": {"recording_url": "https://api.nexmo.com/v1/files/bbbb"}}
    assert house.post("events", json.dumps(spoken).encode()).status_code == 204
    assert house.events[1].recording_uuid == "bbbb"


@pytest.mark.parametrize("odd", [5, {"a": 1}, ["CON-2"]])
def test_an_rtc_recording_with_one_good_name_of_its_conversation_keeps_that(house, odd):
    body = {"recording_id": "rec-1", "destination_url": GOOD["recording_url"]}
    rtc = {"type": "audio:record:done", "conversation_id": odd, "cid": "CON-1", "body": body}
    assert house.post("events", json.dumps(rtc).encode()).status_code == 204
    assert house.events[0].conversation_uuid == "CON-1"


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        (changed().replace(b'"size": 5', b'"size": 5, "size": 6'), {"size": None}),
        (changed().replace(b'"size": 5', b'"size": 5, "size": 5'), {"size": 5}),
        (changed().replace(b'"size": 5', b'"size": 5, "recording_uuid": "rec-1"'), {"size": 5}),
        (changed(x={"a": 1}).replace(b'{"a": 1}', b'{"a": 1, "a": 2}'), {"size": 5}),
        (changed(x={"a": 1}).replace(b'{"a": 1}', b'{"recording_uuid": 1, "recording_uuid": 2}'), {"size": 5}),
    ],
)
def test_a_name_that_stands_twice_costs_no_recording_unless_its_id_or_url_is_in_doubt(house, body, fields):
    assert house.post("recordings", body).status_code == 204
    (event,) = house.events
    assert (event.recording_uuid, event.recording_url) == ("rec-1", GOOD["recording_url"])
    assert {name: getattr(event, name) for name in fields} == fields


ROUTES = ("recordings", "events", "transcriptions")
# On the event route a conversation's id alone makes an event: see below.
CASES = [(name, route) for name in NOT_UNDERSTOOD for route in ROUTES if (name, route) != ("no url", "events")]


@pytest.mark.parametrize(("name", "route"), CASES)
def test_what_is_not_understood_is_400_and_kept_raw(house, name, route):
    body = NOT_UNDERSTOOD[name]
    reply = house.post(route, body)
    assert reply.status_code == 400
    error = reply.get_json()["error"]
    assert error["code"] == "not_understood"
    assert set(error) == {"code", "message", "hint"}
    ((delivery, problem),) = house.intake.unreadable
    assert delivery.body == body
    assert problem == error["message"]
    assert problem.isprintable()
    assert not house.intake.accepted


LIBERAL = {
    "size in digits": (changed(size="5"), {"size": 5}),
    "no size": (lacking("size"), {"size": None}),
    "null size": (changed(size=None), {"size": None}),
    "blank size": (changed(size=""), {"size": None}),
    "largest size": (changed(size=2**63 - 1), {"size": 2**63 - 1}),
    "null url": (changed(recording_url=None), {"recording_url": "", "empty": True}),
    "blank url": (changed(recording_url=" "), {"recording_url": "", "empty": True}),
    "no bytes": (changed(size=0), {"empty": True}),
    "longest id": (changed(recording_uuid="é" * 255), {"recording_uuid": "é" * 255}),
    "odd id": (changed(recording_uuid="../../<id>"), {"recording_uuid": "../../<id>"}),
    "byte order mark": (b"\xef\xbb\xbf" + changed(), {"recording_uuid": "rec-1"}),
    "a status": (changed(status="ok"), {"recording_uuid": "rec-1"}),
    "unknown fields": (changed(duration="9", legs=[{}], x=None), {"recording_uuid": "rec-1"}),
    "no times": (changed(start_time=None, end_time="", timestamp=5), {"start_time": None, "end_time": None}),
    "odd times": (changed(start_time="yesterday", end_time="0001-01-01T00:00+14:00"), {"end_time": None}),
    "far times": (changed(start_time="9999-12-31T23:59:59Z", end_time=[[]]), {"start_time": None}),
}


@pytest.mark.parametrize(("body", "fields"), LIBERAL.values(), ids=LIBERAL)
def test_a_recording_is_not_lost_for_a_detail(house, body, fields):
    assert house.post("recordings", body).status_code == 204
    (event,) = house.events
    assert {name: getattr(event, name) for name in fields} == fields


def test_a_recording_without_url_on_the_event_route_is_noted_for_its_conversation(house):
    assert house.post("events", lacking("recording_url")).status_code == 204
    assert house.events[0].kind == "unknown"


@pytest.mark.parametrize(
    "content_type", [None, "application/x-www-form-urlencoded", "multipart/form-data", "x" * 300, "é" * 99]
)
def test_json_is_read_whatever_the_content_type_says(house, content_type):
    assert house.post("recordings", changed(), content_type=content_type).status_code == 204
    delivery, _ = house.intake.accepted[0]
    assert len(delivery.content_type) <= 255
    assert delivery.content_type.isascii()


def test_a_get_without_parameters_is_400_and_kept(house):
    assert house.get("recordings", {}, query="").status_code == 400
    assert house.intake.unreadable


@pytest.mark.parametrize("speech", ["{", "[]", '{"recording_url": "https://api.nexmo.com/"}', '{"a":' * 9000, "5"])
def test_a_get_with_odd_nested_text_is_still_noted(house, speech):
    fields = {"conversation_uuid": "CON-1", "uuid": "u", "speech": speech}
    assert house.get("events", fields, query=urlencode(fields)).status_code == 204
    assert [event.kind for event in house.events] == ["input"]


def test_a_repeated_parameter_counts_once(house):
    fields = {name: str(value) for name, value in GOOD.items()}
    query = urlencode(fields) + "&" + urlencode(fields)
    assert house.get("recordings", fields, query=query).status_code == 204
    assert house.events[0].recording_uuid == "rec-1"


@pytest.mark.parametrize("body", [changed(), b"nonsense"])
def test_what_cannot_be_committed_is_asked_for_again(house, body):
    house.intake.broken = CatalogueUnavailable("the disk is full")
    reply = house.post("recordings", body)
    assert reply.status_code == 503
    assert reply.get_json()["error"]["code"] == "catalogue_unavailable"


def test_a_fault_of_ours_is_503_because_nobody_repeats_a_500(house, caplog):
    house.intake.broken = KeyError("oops")
    reply = house.post("recordings", changed())
    assert reply.status_code == 503
    assert reply.get_json()["error"]["code"] == "internal"
    assert "oops" in caplog.text


def test_a_conflict_is_accepted_and_stands_out_in_the_log(house, caplog):
    house.intake.outcome = "conflict"
    assert house.post("recordings", changed()).status_code == 204
    assert [record.levelno for record in caplog.records] == [logging.WARNING]


@pytest.mark.parametrize("path", ["recordings", "events", "transcriptions", "answer", "answer/call", "fallback"])
def test_a_bad_signature_is_401_also_where_none_is_needed(make_house, signer, path):
    secrets = ("s" * 40,)
    for verifier in (Verifier(secrets), Verifier(secrets, allow_unsigned=True)):
        house = make_house(verifier=verifier)
        reply = house.post(path, changed())  # signed with another secret
        assert reply.status_code == 401
        assert reply.get_json()["error"]["code"] == "bad_signature"
        assert not house.intake.accepted
        assert not house.intake.unreadable


@pytest.mark.parametrize("path", ["recordings", "events", "transcriptions", "answer", "answer/call", "fallback"])
def test_without_a_signature_503_brings_the_request_back(house, path):
    reply = house.post(path, changed(), signed=False)
    assert reply.status_code == 503
    assert reply.get_json()["error"]["code"] == "signature_required"


@pytest.mark.parametrize("secrets", [(), ("s" * 40,)])
def test_unsigned_events_pass_where_they_are_allowed(make_house, secrets):
    house = make_house(verifier=Verifier(secrets, allow_unsigned=True))
    assert house.post("recordings", changed(), signed=False).status_code == 204
    delivery, _ = house.intake.accepted[0]
    assert (delivery.signed, delivery.jti, delivery.application_id) == (False, None, "the-configured-one")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from([*GOOD, "a"]), inner, max_size=3),
    max_leaves=6,
)
NAMES = [
    *GOOD,
    "status",
    "type",
    "speech",
    "body",
    "uuid",
    "from",
    "transcription_url",
    "error",
    "cid",
    "dtmf",
    "payload",
]
OBJECTS = st.dictionaries(st.sampled_from(NAMES), JSON, max_size=8)
TYPES = st.sampled_from([{}, {"type": "audio:record:done"}, {"type": "audio:transcribe:done"}, GOOD])


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(fields=OBJECTS, more=TYPES, route=st.sampled_from(["recordings", "events", "transcriptions"]))
def test_any_json_object_is_accepted_or_kept(house, fields, more, route):
    before = len(house.intake.accepted) + len(house.intake.unreadable)
    reply = house.post(route, more | fields)
    assert reply.status_code in (204, 400)
    assert len(house.intake.accepted) + len(house.intake.unreadable) == before + 1
    for event in house.events:
        if isinstance(event, Announcement):
            (event.recording_uuid + event.conversation_uuid + event.recording_url).encode()
            assert 0 < len(event.recording_uuid) <= 255


@pytest.mark.parametrize("depth", [*range(100, 1000, 60), 5000])
@pytest.mark.parametrize("name", ["error", "timestamp", "from", "speech", "unknown"])
def test_no_depth_of_nesting_is_a_fault_of_ours(house, name, depth):
    transcription = b'{"status": "transcription_failed", "recording_uuid": "r", "conversation_uuid": "CON-1", "%s": %s}'
    nested = b"[" * depth + b"]" * depth
    assert house.post("transcriptions", transcription % (name.encode(), nested)).status_code in (204, 400)
    assert house.post("answer", b'{"uuid": "u", "%s": %s}' % (name.encode(), nested)).status_code == 200


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(body=st.binary(max_size=60))
def test_any_bytes_are_accepted_or_kept(house, body):
    assert house.post("events", body).status_code in (204, 400)


def test_no_number_no_token_and_no_secret_is_logged(house, caplog):
    caplog.set_level(logging.INFO)
    event = {
        "status": "ringing",
        "uuid": "u",
        "from": "447700900123",
        "to": "447700900456",
        "conversation_uuid": "CON-1",
    }
    house.post("events", event)
    house.post("answer", event)
    house.post("recordings", changed())
    house.post("recordings", changed(), headers={"Authorization": "Bearer eyJ.eyJ.xyz"})
    assert len(caplog.records) == 4
    assert not any(word in caplog.text for word in ("4477009", "eyJ", "old and short"))
