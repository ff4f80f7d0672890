"""Every payload that Vonage is known to send is taken in, by POST and by GET, and understood for what it is."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlencode

import pytest

from recordings.model import Announcement, CallEvent, Transcription

FIXTURES = Path(__file__).parent.parent / "fixtures" / "vonage"
FILE = "https://api.nexmo.com/v1/files/"
RTC_FILE = "https://api-us-3.vonage.com/v1/files/"

RECORDINGS = {
    "recording-01-seed-2016-media-download": (
        "53383284-b36d-498c-b733-aa0234c2234",
        "https://api.nexmo.com/media/download?id=5345cf0-345c-34b3-a23b-ca6ccfe144b0",
        84413,
    ),
    "recording-02-real-2017-empty": ("d8c75dcc-8a8d-4fb7-9d6e-527d5a435547", "", 0),
    "recording-03-real-2018-post": (
        "ccccaaaa-dddd-cccc-dddd-0123456789ab",
        FILE + "aaaaaaaa-bbbb-cccc-dddd-0123456789ab",
        162558,
    ),
    "recording-06-real-2020-php-readme": ("<recording-id>", FILE + "<recording-id>", 27918),
    "recording-07-doc-2020-bare-conversation-uuid": (
        "aaaaaaaa-bbbb-cccc-dddd-0123456789ab",
        FILE + "aaaaaaaa-bbbb-cccc-dddd-0123456789ab",
        12345,
    ),
    "recording-10-rtc-audio-record-done": (
        "aaaaaaaa-bbbb-cccc-dddd-0123456789ab",
        RTC_FILE + "bbbbbbbb-aaaa-cccc-dddd-0123456789ab",
        120000,
    ),
}
KINDS = {
    "event-answered-2020-post": "answered",
    "event-completed-2020-post": "completed",
    "event-completed-dotnet": "completed",
    "event-dtmf-2020-post": "input",
    "event-error-dotnet": "error",
    "event-failed-2020-post": "failed",
    "event-input-asr-doc": "input",
    "event-input-asr-real-2023": "input",
    "event-notify-2020-post": "notify",
    "event-ringing-2020-post": "ringing",
    "event-ringing-real-2023": "ringing",
    "event-started-2020-post": "started",
    "event-transfer-2020-post": "transfer",
    "event-transfer-real-2018": "transfer",
}
TRANSCRIPTIONS = ("transcription-01-webhook", "transcription-05-rtc-audio-transcribe-done")
ROUTES = ("recordings", "events", "transcriptions")


def load(name):
    return json.loads((FIXTURES / f"{name}.json").read_text())


def flattened(sample):
    """As Vonage writes a GET: nested objects as JSON text, null left out."""
    fields = {name: json.dumps(value) if isinstance(value, dict) else value for name, value in sample.items()}
    return {name: str(value) for name, value in fields.items() if value is not None}


def deliver(house, method, route, name):
    sample = load(name)
    if method == "POST":
        return house.post(route, sample)
    return house.get(route, flattened(sample), query=urlencode(flattened(sample)))


def test_every_sample_file_is_tried_here():
    known = {*RECORDINGS, *KINDS, *TRANSCRIPTIONS}
    files = {path.stem for path in FIXTURES.glob("*.json") if path.stem.split("-")[0] not in ("answer", "signed")}
    assert files == known


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("method", ["POST", "GET"])
@pytest.mark.parametrize("name", RECORDINGS)
def test_a_recording_is_a_recording_on_every_route(house, method, route, name):
    reply = deliver(house, method, route, name)
    assert (reply.status_code, reply.data) == (204, b"")
    (event,) = house.events
    assert isinstance(event, Announcement)
    assert (event.recording_uuid, event.recording_url, event.size) == RECORDINGS[name]
    assert event.empty == (event.size == 0)
    assert event.end_time.tzinfo is UTC


@pytest.mark.parametrize("method", ["POST", "GET"])
@pytest.mark.parametrize("name", KINDS)
def test_a_call_event_is_noted_under_its_kind(house, method, name):
    assert deliver(house, method, "events", name).status_code == 204
    event = house.events[0]
    assert isinstance(event, CallEvent)
    assert event.kind == KINDS[name]
    assert event.conversation_uuids


@pytest.mark.parametrize("method", ["POST", "GET"])
@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("name", TRANSCRIPTIONS)
def test_a_transcription_names_its_recording(house, method, route, name):
    assert deliver(house, method, route, name).status_code == 204
    (event,) = house.events
    assert isinstance(event, Transcription)
    assert (event.recording_uuid, event.status) == ("aaaaaaaa-bbbb-cccc-dddd-0123456789ab", "transcribed")
    assert event.url.endswith("0123456789ab")


def test_a_transfer_belongs_to_both_conversations(house):
    deliver(house, "POST", "events", "event-transfer-real-2018")
    (event,) = house.events
    assert event.conversation_uuids == (
        "CON-4bf66420-d6cb-46e0-9ba9-f7eede9a7301",
        "CON-4bf66420-d6cb-46e0-9ba9-f8eeba9f5619",
    )
    assert event.leg_uuid == "688fd94bd0e1f59c36a4cbd36312fc28"


@pytest.mark.parametrize("method", ["POST", "GET"])
def test_saved_speech_is_archived_under_its_file_id(house, method):
    deliver(house, method, "events", "event-input-asr-real-2023")
    _, speech = house.events
    assert (speech.recording_uuid, speech.origin) == ("087fe72e-cdec-4b95-8aa0-feee638ebc6f", "asr")
    assert speech.conversation_uuid == "CON-e2b23b23-0003-485a-a161-7d622c9f708e"


def test_an_rtc_recording_tells_its_own_format_and_times(house):
    deliver(house, "POST", "recordings", "recording-10-rtc-audio-record-done")
    (event,) = house.events
    assert (event.origin, event.format) == ("rtc", "mp3")
    assert event.start_time == datetime(2024, 5, 1, 10, 0, tzinfo=UTC)
    assert event.timestamp == datetime(2024, 5, 1, 10, 0, 30, tzinfo=UTC)


def test_an_unencoded_url_in_a_query_stays_whole(house):
    """As captured in 2020; the old download URL has a query of its own."""
    url = "https://api.nexmo.com/media/download?id=5345cf0-345c"
    fields = {"recording_uuid": "r", "conversation_uuid": "CON-c", "recording_url": url, "size": "18990"}
    query = "&".join(f"{name}={value}" for name, value in fields.items())
    assert house.get("recordings", fields, query=query).status_code == 204
    assert house.events[0].recording_url == url
    assert house.events[0].size == 18990


def test_bytes_that_are_no_ascii_reach_the_catalogue_as_escapes(house):
    fields = {"recording_uuid": "ré", "conversation_uuid": "CON-c", "recording_url": "https://x.nexmo.com/ü"}
    query = "&".join(f"{name}={value}" for name, value in fields.items())
    assert house.get("recordings", fields, query=query).status_code == 204
    delivery, (event,) = house.intake.accepted[0]
    assert event.recording_uuid == "ré"
    assert "recording_uuid=r%C3%A9" in delivery.query


def test_the_delivery_is_handed_over_raw_with_what_the_signature_proved(house):
    sample = load("recording-03-real-2018-post")
    house.post("recordings?flow=call", sample, content_type="text/plain; charset=latin-1")
    delivery, _ = house.intake.accepted[0]
    assert delivery.body == json.dumps(sample).encode()
    assert (delivery.route, delivery.method, delivery.query) == ("recordings", "POST", "flow=call")
    assert (delivery.signed, delivery.jti) == (True, "c5ba8f24-1a14-4c10-bfdf-3fbe8ce511b5")
    assert delivery.application_id == "aaaaaaaa-bbbb-cccc-dddd-0123456789ab"


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("flow=call", ("call", "mp3", 1)),
        ("flow=split", ("split", "mp3", 2)),
        ("x=1&flow=conversation&y=2", ("conversation", "mp3", 1)),
        ("flow=strange", (None, None, None)),
        ("flow=", (None, None, None)),
        ("workflow=call", (None, None, None)),
        ("", (None, None, None)),
    ],
)
def test_only_our_own_flows_are_believed(house, query, expected):
    house.post(f"recordings?{query}", load("recording-03-real-2018-post"))
    event = house.events[0]
    assert (event.flow, event.format, event.channels) == expected


def test_a_get_carries_the_flow_too_whether_the_hash_covers_it_or_not(house):
    fields = flattened(load("recording-03-real-2018-post"))
    ours = {"flow": "split"} | fields
    assert house.get("recordings", fields, query=urlencode(ours)).status_code == 204
    assert house.get("recordings", ours, query=urlencode(ours)).status_code == 204
    assert [event.flow for event in house.events] == ["split", "split"]
