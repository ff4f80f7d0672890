"""What cannot be understood is refused with 4xx and kept; what cannot be committed is asked for again."""

from __future__ import annotations

import logging
from urllib.parse import urlencode

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from recordings.errors import CatalogueUnavailable
from recordings.model import Announcement
from tests.webhooks.good_event import GOOD, changed, lacking
from webhooks import Verifier

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
