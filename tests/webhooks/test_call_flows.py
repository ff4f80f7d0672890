"""The exact NCCO of each flow: what is recorded, how, and where the event goes."""

from __future__ import annotations

import json

import pytest

import settings as environment
from webhooks import FlowSettings
from webhooks.flows import FLOWS, Caller, build, conversation_name, expected, fallback, is_moderator, resolve

SETTINGS = FlowSettings("https://tapes.example", forward_to="447700900001", vonage_number="447700900000")
ANYBODY = Caller()
TALK = {"action": "talk", "text": "This call is recorded."}
CONNECT = {
    "action": "connect",
    "endpoint": [{"type": "phone", "number": "447700900001"}],
    "from": "447700900000",
}


def events(flow):
    return {"eventUrl": [f"https://tapes.example/webhooks/recordings?flow={flow}"], "eventMethod": "POST"}


def settings(**changes):
    return FlowSettings(**({"public_url": "https://tapes.example", "forward_to": "447700900001"} | changes))


def test_voicemail():
    assert build(SETTINGS, "voicemail", ANYBODY) == [
        {"action": "talk", "text": "Please leave a message after the tone, then press the hash key."},
        {
            "action": "record",
            "format": "mp3",
            "endOnSilence": 5,
            "endOnKey": "#",
            "timeOut": 300,
            "beepStart": True,
            **events("voicemail"),
        },
        {"action": "talk", "text": "Thank you for your message. Goodbye."},
    ]


def test_call():
    record = {"action": "record", "format": "mp3", **events("call")}
    assert build(SETTINGS, "call", ANYBODY) == [record, TALK, CONNECT]


def test_split():
    record = {"action": "record", "format": "mp3", "split": "conversation", "channels": 2, **events("split")}
    assert build(SETTINGS, "split", ANYBODY) == [record, TALK, CONNECT]


def test_conversation_is_recorded_by_everybody():
    room = {"action": "conversation", "name": "team", "record": True, **events("conversation")}
    assert build(SETTINGS, "conversation", Caller(name="team")) == [room]


def test_moderated_attendee_waits_and_does_not_record():
    room = {"action": "conversation", "name": "tapekeeper", "startOnEnter": False}
    assert build(SETTINGS, "moderated", ANYBODY) == [room]
    with_music = settings(hold_music_url="https://tapes.example/hold.mp3")
    music = {"musicOnHoldUrl": ["https://tapes.example/hold.mp3"]}
    assert build(with_music, "moderated", ANYBODY) == [room | music]


def test_moderated_moderator_starts_records_and_ends():
    assert build(SETTINGS, "moderated", Caller(name="board", moderator=True)) == [
        {
            "action": "conversation",
            "name": "board",
            "startOnEnter": True,
            "endOnExit": True,
            "record": True,
            **events("moderated"),
        }
    ]


def test_the_fallback_is_a_voicemail_that_needs_nothing():
    assert fallback(settings(forward_to="", default_flow="call")) == build(SETTINGS, "voicemail", ANYBODY)


@pytest.mark.parametrize("audio_format", ["mp3", "wav", "ogg"])
@pytest.mark.parametrize("flow", FLOWS)
def test_the_announced_format_is_the_one_that_is_asked_for(flow, audio_format):
    chosen = settings(recording_format=audio_format)
    actions = build(chosen, flow, Caller(moderator=True))
    asked = [(action["format"], action.get("channels", 1)) for action in actions if action["action"] == "record"]
    assert asked in ([], [expected(chosen, flow)])
    if not asked:  # a conversation takes no format
        assert expected(chosen, flow) == ("mp3", 1)


@pytest.mark.parametrize("flow", FLOWS)
@pytest.mark.parametrize("moderator", [True, False])
def test_every_flow_is_plain_json_with_native_types_and_urls_in_lists(flow, moderator):
    ncco = build(settings(hold_music_url="https://x/y.mp3"), flow, Caller(moderator=moderator))
    assert json.loads(json.dumps(ncco)) == ncco
    for action in ncco:
        assert not any(value in ("true", "false") for value in action.values() if isinstance(value, str))
        for name in ("eventUrl", "musicOnHoldUrl"):
            assert name not in action or (isinstance(action[name], list) and len(action[name]) == 1)


@pytest.mark.parametrize("flow", ["call", "split"])
def test_a_forwarded_call_is_recorded_from_its_first_moment_to_its_end(flow):
    record, *_ = build(SETTINGS, flow, ANYBODY)
    assert record["action"] == "record"
    assert not {"timeOut", "endOnSilence", "endOnKey"} & record.keys()


def test_a_greeting_is_spoken_in_place_of_our_own():
    chosen = settings(greeting="Hello.")
    assert build(chosen, "voicemail", ANYBODY)[0]["text"] == "Hello."
    assert build(chosen, "call", ANYBODY)[1]["text"] == "Hello."


def test_without_a_public_url_the_event_goes_to_the_application():
    assert not any("eventUrl" in action for action in build(settings(public_url=""), "call", ANYBODY))


@pytest.mark.parametrize(
    ("wanted", "changes", "flow"),
    [
        (None, {}, "voicemail"),
        (None, {"default_flow": "split"}, "split"),
        ("conversation", {}, "conversation"),
        ("Voicemail!", {"default_flow": "call"}, "call"),
        ("call", {"forward_to": ""}, "voicemail"),
        ("strange", {"default_flow": "split", "forward_to": ""}, "voicemail"),
    ],
)
def test_there_is_always_a_flow_that_records(wanted, changes, flow):
    chosen, complaint = resolve(settings(**changes), wanted)
    assert chosen == flow
    assert bool(complaint) == (wanted not in (None, chosen))


@pytest.mark.parametrize("name", ["", "  ", "a\nb", "a\x00", "n" * 101, "\u202e", None])
def test_a_name_that_is_none_falls_back_to_the_configured_one(name):
    assert conversation_name(settings(conversation_name="ours"), name) == "ours"


@pytest.mark.parametrize("name", ["team", " team ", "ventas-España", "n" * 100])
def test_a_sane_name_is_kept(name):
    assert conversation_name(SETTINGS, name) == name.strip()


@pytest.mark.parametrize(
    ("role", "number", "answer"),
    [
        ("moderator", None, True),
        (" Moderator", "1", True),
        (None, "447700900123", True),
        (None, "+447700900123", True),
        (None, "+44 7700 900123", False),
        (None, "sip:447700900123@evil.example", False),
        (None, "sip:44x7700-900123@evil.example", False),
        (None, "4a4b7c7d0e0f9g0h0i1j2k3", False),
        (None, "٤٤٧٧٠٠٩٠٠١٢٣", False),
        (None, "447700900123\n", False),
        ("attendee", "447700900124", False),
        (None, None, False),
        (None, "anonymous", False),
    ],
)
def test_who_is_a_moderator(role, number, answer):
    chosen = settings(moderators=frozenset({"447700900123"}))
    assert is_moderator(chosen, role, number) is answer


@pytest.mark.parametrize(("kind", "answer"), [("phone", True), (None, True), ("sip", False), ("app", False)])
def test_only_a_phone_is_a_moderator_by_its_number(kind, answer):
    chosen = settings(moderators=frozenset({"447700900123"}))
    assert is_moderator(chosen, None, "447700900123", kind) is answer


@pytest.mark.parametrize(
    ("to", "from_"),
    [
        ("447700900000", "447700900000"),
        ("+447700900000", "447700900000"),
        ("sip:447700900000@tapekeeper-12ab.sip.vonage.com", "447700900000"),
        ("sip:support2@app7.sip.vonage.com", None),
        ("support2", None),
        ("44770090000012345", None),
        ("101", None),
        ("0447700900000", None),
        ("447700 900000", None),
        ("sip:447700900000", None),
        (None, None),
    ],
)
@pytest.mark.parametrize("flow", ["call", "split"])
def test_a_call_is_connected_from_a_number_that_carriers_take_or_from_none(flow, to, from_):
    (connect,) = (action for action in build(settings(), flow, Caller(to)) if action["action"] == "connect")
    assert connect.get("from") == from_


def test_the_flows_are_those_that_call_flow_may_name():
    assert tuple(FLOWS) == environment.FLOWS
