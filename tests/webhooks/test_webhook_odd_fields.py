"""What is odd in a recording event costs no recording, unless its id or its URL is in doubt."""

from __future__ import annotations

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from recordings.model import Announcement
from tests.webhooks.good_event import GOOD, changed, lacking

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
