"""Rarer shapes: what only some sources show, and what stands between two shapes."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recordings.model import Announcement, CallEvent, Transcription
from webhooks.payload import NotUnderstood
from webhooks.schemas import read_time
from webhooks.shapes import file_id, understand

RECORDING = {"recording_uuid": "r", "conversation_uuid": "CON-1", "recording_url": "https://api.nexmo.com/v1/files/f"}


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2019-08-13T11:32:47Z", datetime(2019, 8, 13, 11, 32, 47, tzinfo=UTC)),
        ("2019-08-13T11:32:47.744Z", datetime(2019, 8, 13, 11, 32, 47, 744000, tzinfo=UTC)),
        ("2019-08-13T13:32:47+02:00", datetime(2019, 8, 13, 11, 32, 47, tzinfo=UTC)),
        ("2019-08-13 11:32:47", datetime(2019, 8, 13, 11, 32, 47, tzinfo=UTC)),
        (" 2019-08-13T11:32:47 ", datetime(2019, 8, 13, 11, 32, 47, tzinfo=UTC)),
        ("1999-12-31T23:59:59Z", None),
        ("2100-01-01T00:00:00Z", None),
        ("0001-01-01T00:00:00+14:00", None),
        ("2019-13-13T11:32:47Z", None),
        ("", None),
        (1565695967, None),
        (None, None),
    ],
)
def test_a_time_is_read_as_utc_or_left_out(text, moment):
    assert read_time(text) == moment


@given(st.text() | st.datetimes(timezones=st.timezones()).map(str))
def test_no_text_breaks_the_reading_of_times(text):
    moment = read_time(text)
    assert moment is None or moment.tzinfo is UTC


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://api.nexmo.com/v1/files/aaaa-bbbb", "aaaa-bbbb"),
        ("https://api.nexmo.com/v1/files/aaaa-bbbb/?x=1#y", "aaaa-bbbb"),
        ("https://api.nexmo.com/media/download?id=5345cf0-345c", "5345cf0-345c"),
        ("https://api.nexmo.com/", ""),
        ("https://[api.nexmo.com/v1/files/a", ""),
        ("https://api.nexmo.com/v1/files/" + "a" * 256, ""),
        ("", ""),
    ],
)
def test_the_id_of_a_file_is_read_from_its_url(url, expected):
    assert file_id(url) == expected


@given(st.text())
def test_no_text_breaks_the_reading_of_file_ids(url):
    assert isinstance(file_id(url), str)


@pytest.mark.parametrize("route", ["recordings", "events", "transcriptions"])
def test_human_and_machine_name_their_leg_call_uuid(route):
    (event,) = understand({"call_uuid": "leg", "status": "machine", "sub_state": "beep_start"}, route)
    assert event == CallEvent("machine", (), "leg")


def test_call_words_of_strange_types_are_left_out():
    fields = {"uuid": "u", "status": "x" * 65, "from": 447700900123, "to": [1], "direction": "a\x00", "timestamp": "x"}
    (event,) = understand(fields, "events")
    assert event == CallEvent("unknown", (), "u", "447700900123")


def test_blank_ids_of_a_call_event_count_as_absent():
    (event,) = understand({"uuid": "", "conversation_uuid": None, "call_uuid": "leg", "status": "busy"}, "events")
    assert (event.leg_uuid, event.conversation_uuids) == ("leg", ())


def test_an_event_of_the_conversation_api_belongs_to_its_conversation():
    (event,) = understand({"type": "member:joined", "cid": "CON-1", "body": {}}, "events")
    assert event == CallEvent("unknown", ("CON-1",))


def test_a_completed_call_whose_recording_url_is_null_is_a_call_event():
    """As REST shows it: https://github.com/Vonage/vonage-dotnet-sdk/issues/628"""
    (event,) = understand({"uuid": "u", "status": "completed", "recording_url": None}, "events")
    assert event.kind == "completed"


def test_a_recording_url_without_its_id_is_never_taken_for_a_call_event():
    with pytest.raises(NotUnderstood, match="recording_uuid"):
        understand({"uuid": "u", "conversation_uuid": "c", "status": "ok", "recording_url": "https://x/a"}, "events")


def test_every_fault_is_named_at_once():
    with pytest.raises(NotUnderstood, match=r"recording_url: .* recording_uuid: "):
        understand(RECORDING | {"recording_uuid": 5, "conversation_uuid": "", "recording_url": 5}, "recordings")


def test_what_our_event_url_told_is_kept_with_the_recording():
    from_our_url = {"flow": "split", "format": "wav", "channels": 2}
    (event,) = understand(RECORDING, "recordings", from_our_url)
    assert (event.flow, event.format, event.channels) == ("split", "wav", 2)


@pytest.mark.parametrize(("named", "known"), [("vorbis", "ogg"), ("WAV?", None), (None, None), ({}, None)])
def test_an_rtc_recording_tells_a_format_that_we_know_or_none(named, known):
    body = {"recording_id": "r", "destination_url": None, "format": named, "size": 0}
    (event,) = understand({"type": "audio:record:done", "cid": "CON-1", "body": body}, "events")
    assert event == Announcement("r", "CON-1", "", 0, None, None, None, "rtc", format=known)
    assert event.empty


@pytest.mark.parametrize(
    ("error", "reason"), [("too long", "too long"), ({"a": 1}, '{"a": 1}'), (None, None), ("\n", None)]
)
def test_a_failed_transcription_is_noted_with_its_reason(error, reason):
    fields = {"recording_uuid": "r", "status": "transcription_failed", "error": error}
    assert understand(fields, "events") == (Transcription("r", None, "transcription_failed", None, reason),)


def test_a_transcription_without_url_or_status_is_not_understood():
    with pytest.raises(NotUnderstood, match="transcription_url"):
        understand({"recording_uuid": "r", "conversation_uuid": "CON-1"}, "transcriptions")


def test_an_rtc_transcription_without_url_failed():
    body = {"recording_id": "r", "error": "no speech"}
    (event,) = understand({"type": "audio:transcribe:done", "conversation_id": "CON-1", "body": body}, "events")
    assert event == Transcription("r", "CON-1", "transcription_failed", None, "no speech")
