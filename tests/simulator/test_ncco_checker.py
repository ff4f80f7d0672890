"""The NCCO checker passes what the documentation shows and names each fault by action and option."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator import check_ncco

SAMPLES = sorted((Path(__file__).parent / "nccos").glob("*.json"))
URL = ["https://example.com/recordings"]
CONNECT = {"action": "connect", "endpoint": [{"type": "phone", "number": "447700900001"}]}
RECORD = {"action": "record", "eventUrl": URL, "endOnKey": "#"}
ROOM = {"action": "conversation", "name": "room"}
TALK = {"action": "talk", "text": "Hello"}
INPUT = {"action": "input", "type": ["dtmf"]}


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.stem)
def test_published_nccos_pass(path):
    assert check_ncco(json.loads(path.read_text())) == []


def test_strings_for_numbers_and_booleans_pass_unless_native_types_are_asked_for():
    ncco = json.loads((Path(__file__).parent / "nccos" / "ncco-voicemail.json").read_text())
    complaints = check_ncco(ncco, native_only=True)
    assert [complaint.split(" must")[0] for complaint in complaints] == [
        "Action 1 (record): option endOnSilence",
        "Action 1 (record): option beepStart",
    ]


@pytest.mark.parametrize(
    "ncco",
    [
        [{"action": "record", "split": "conversation", "channels": 2, "format": "mp3"}, CONNECT],
        [{"action": "record"}, {"action": "wait", "timeout": 0.5}],
        [{"action": "record", "timeOut": 7200, "format": "ogg"}],
        [{**ROOM, "record": True, "startOnEnter": False, "canHear": [], "musicOnHoldUrl": URL}],
        [{"action": "talk", "text": "<speak>" + "a" * 1500 + "</speak>"}],
        [{**TALK, "bargeIn": True}, TALK, INPUT],
        [{"action": "stream", "streamUrl": URL, "level": -0.5, "loop": 0}],
        [{"action": "connect", "endpoint": [{"type": "sip", "user": "a", "domain": "b"}], "from": "reception"}],
        [{"action": "connect", "endpoint": [{"type": "app", "user": "jane"}], "randomFromNumber": True}],
        [{"action": "notify", "payload": {"a": 1}, "eventUrl": URL}],
        [{"action": "transfer", "conversation_id": "CON-1"}],
        [{"action": "input", "type": ["speech"], "speech": {"endOnSilence": 0.5, "saveAudio": True}}],
    ],
    ids=lambda ncco: json.dumps(ncco)[:50],
)
def test_documented_uses_pass(ncco):
    assert check_ncco(ncco) == []


@pytest.mark.parametrize(
    ("ncco", "words"),
    [
        ({"action": "talk"}, "must be an array"),
        ([], "no action"),
        (["talk"], "Action 0 must be an object"),
        ([TALK, {"action": "fly"}], "Action 1: 'fly' is no action"),
        ([{"text": "no action"}], "Action 0: None is no action"),
        ([{**RECORD, "beep": True}], "Action 0 (record): option beep is unknown"),
        ([{**RECORD, "timeout": 3}], "option timeout is unknown"),
        ([{**RECORD, "format": "flac"}], "option format must be"),
        ([{**RECORD, "format": ["mp3"]}], "option format must be"),
        ([{**RECORD, "endOnSilence": 2}], "option endOnSilence must be a whole number from 3 to 10"),
        ([{**RECORD, "endOnSilence": 3.5}], "option endOnSilence"),
        ([{**RECORD, "endOnSilence": True}], "option endOnSilence"),
        ([{**RECORD, "endOnKey": "12"}], "option endOnKey"),
        ([{**RECORD, "endOnKey": 1}], "option endOnKey"),
        ([{**RECORD, "timeOut": 7201}], "option timeOut"),
        ([{**RECORD, "beepStart": 1}], "option beepStart"),
        ([{**RECORD, "eventMethod": "PUT"}], "option eventMethod"),
        ([{**RECORD, "eventUrl": "https://example.com"}], "option eventUrl must be an array of exactly one"),
        ([{**RECORD, "eventUrl": []}], "option eventUrl must be an array of exactly one"),
        ([{**RECORD, "eventUrl": [URL[0], URL[0]]}], "option eventUrl must be an array of exactly one"),
        ([{**RECORD, "eventUrl": ["/recordings"]}], "option eventUrl must be an absolute"),
        ([{**RECORD, "eventUrl": ["https:///recordings"]}], "option eventUrl must be an absolute"),
        ([{**RECORD, "eventUrl": ["ftp://example.com"]}], "option eventUrl must be an absolute"),
        ([{**RECORD, "eventUrl": ["https://exa mple.com"]}], "option eventUrl must be an absolute"),
        ([{**RECORD, "eventUrl": ["http://[bad"]}], "option eventUrl must be an absolute"),
        ([{**RECORD, "eventUrl": [None]}], "option eventUrl must be an absolute"),
        ([{**RECORD, "split": "conversation"}], "option split needs channels"),
        ([{**RECORD, "channels": 2}], "option channels does nothing without split"),
        ([{**RECORD, "split": "conversation", "channels": 33}], "option channels must be"),
        ([{**RECORD, "split": True, "channels": 2}], "option split must be"),
        ([{**RECORD, "transcription": True}], "option transcription must be an object"),
        ([{**RECORD, "transcription": {"eventUrl": "x"}}], "option transcription is wrong inside: option eventUrl"),
        ([{"action": "record", "eventUrl": URL}], "nothing after it keeps the call up"),
        ([CONNECT, {"action": "record"}], "nothing after it keeps the call up"),
        ([{"action": "conversation"}], "Action 0 (conversation): option name is missing"),
        ([{**ROOM, "name": ""}], "option name"),
        ([{**ROOM, "format": "mp3"}], "option format is unknown"),
        ([{**ROOM, "transcription": {}}], "option transcription needs record"),
        ([{**ROOM, "mute": True, "canSpeak": []}], "option mute cannot be used with canSpeak"),
        ([{**ROOM, "canHear": "abc"}], "option canHear must be an array of leg ids"),
        ([{"action": "connect"}], "Action 0 (connect): option endpoint is missing"),
        ([{**CONNECT, "endpoint": []}], "option endpoint must be an array of exactly one"),
        ([{**CONNECT, "endpoint": CONNECT["endpoint"] * 2}], "option endpoint must be an array of exactly one"),
        ([{**CONNECT, "endpoint": CONNECT["endpoint"][0]}], "option endpoint must be an array of exactly one"),
        ([{**CONNECT, "endpoint": [{"type": "fax"}]}], "option endpoint must hold an endpoint whose type"),
        ([{**CONNECT, "endpoint": [{"type": "phone"}]}], "option endpoint needs number"),
        ([{**CONNECT, "endpoint": [{"type": "phone", "number": "0044 20"}]}], "option endpoint is wrong inside"),
        ([{**CONNECT, "endpoint": [{"type": "sip"}]}], "option endpoint must hold a sip endpoint"),
        ([{**CONNECT, "from": "office"}], "option from must be a number"),
        ([{**CONNECT, "from": "4477", "randomFromNumber": True}], "option randomFromNumber"),
        ([{**CONNECT, "timeout": 121}], "option timeout"),
        ([{"action": "talk", "text": "a" * 1501}], "option text has 1501 characters"),
        ([{"action": "talk"}], "option text is missing"),
        ([{"action": "talk", "text": "<speak></speak>"}], "option text says nothing"),
        ([{**TALK, "level": 1.1}], "option level"),
        ([{**TALK, "bargeIn": True}, CONNECT], "option bargeIn is true"),
        ([{"action": "stream", "streamUrl": "https://example.com/a.mp3"}], "option streamUrl must be an array"),
        ([{"action": "input"}], "option type is missing"),
        ([{**INPUT, "type": "dtmf"}], "option type must be an array"),
        ([{**INPUT, "dtmf": {"maxDigits": 21}}], "option dtmf is wrong inside: option maxDigits"),
        ([{"action": "notify", "payload": {}}], "option eventUrl is missing"),
        ([{"action": "transfer"}], "option conversationId is missing"),
    ],
)
def test_each_fault_has_its_complaint(ncco, words):
    complaints = check_ncco(ncco)
    assert len(complaints) == 1
    assert words in complaints[0]


def test_a_complaint_is_a_sentence_for_each_fault():
    complaints = check_ncco([{**RECORD, "format": "flac", "beep": 1}, TALK, {"action": "fly"}])
    assert [complaint[:8] for complaint in complaints] == ["Action 0", "Action 0", "Action 2"]
    assert all(complaint.endswith(".") for complaint in complaints)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=12,
)
KNOWN = ["record", "conversation", "connect", "talk", "stream", "input", "notify", "wait", "transfer"]
OPTIONS = ["name", "eventUrl", "endpoint", "text", "type", "split", "channels", "bargeIn", "transcription", "record"]
odd_actions = st.builds(
    lambda name, options: {**options, "action": name},
    st.sampled_from(KNOWN),
    st.dictionaries(st.sampled_from(OPTIONS), json_values, max_size=4),
)


@given(json_values | st.lists(odd_actions | json_values, max_size=4))
def test_any_json_gets_sentences_and_never_an_exception(value):
    assert all(isinstance(complaint, str) and complaint for complaint in check_ncco(value))


@given(
    st.fixed_dictionaries(
        {"action": st.just("record"), "eventUrl": st.just(URL), "endOnKey": st.sampled_from("0123456789*#")},
        optional={
            "format": st.sampled_from(["mp3", "wav", "ogg"]),
            "endOnSilence": st.integers(3, 10),
            "timeOut": st.integers(3, 7200),
            "beepStart": st.booleans(),
        },
    ),
    st.booleans(),
    st.integers(1, 32),
)
def test_every_record_within_the_documented_ranges_passes_in_either_spelling(record, split, channels):
    if split:
        record = {**record, "split": "conversation", "channels": channels}
    as_text = {key: json.dumps(value) if isinstance(value, int) else value for key, value in record.items()}
    assert check_ncco([record], native_only=True) == []
    assert check_ncco([as_text]) == []


@given(st.sampled_from(["endOnSilence", "timeOut", "channels"]), st.integers(-100, 100_000))
def test_every_number_outside_its_range_is_refused(option, number):
    low, high = {"endOnSilence": (3, 10), "timeOut": (3, 7200), "channels": (1, 32)}[option]
    complaints = check_ncco([{**RECORD, "split": "conversation", "channels": 2, option: number}])
    assert bool(complaints) is not (low <= number <= high)
