"""What the answer webhook and the call events tell of a call, and how a recording comes to know it, in any order."""

from __future__ import annotations

import itertools

import pytest

from recordings.catalogue.listing import call_history, find
from recordings.catalogue.tables import call_events, calls
from recordings.model import Call, CallEvent

CON = "CON-63f61863-4a51-4f6b-86e1-46edebcf9356"
BARE = CON.removeprefix("CON-").upper()
ROOM = "CON-aaaaaaaa-4a51-4f6b-86e1-46edebcf9356"


def asked(**changes):
    words = {
        "conversation_uuid": CON,
        "uuid": "leg-a",
        "from_": "447700900001",
        "to": "447700900000",
        "flow": "split",
        "region_url": "https://api-us-3.vonage.com",
        "format": "wav",
        "channels": 2,
    }
    return Call(**words | changes)


def happened(kind="answered", **changes):
    words = {"conversation_uuids": (CON,), "leg_uuid": "leg-a", "from_": "447700900001", "to": "447700900000"}
    return CallEvent(kind, **words | {"direction": "inbound"} | changes)


@pytest.fixture
def note(intake, delivery):
    """`note(what)`: take in a call event or a recording, or note a call, as the webhooks do."""

    def take_in(what):
        if isinstance(what, Call):
            return intake.note_call(what, "the-application")
        return intake.accept(delivery(), [what])

    return take_in


@pytest.fixture
def recorded(announcement, database):
    """The recording event of the conversation, and how the catalogue then shows it."""

    def make(conversation_uuid=CON, **changes):
        event = announcement(conversation_uuid=conversation_uuid, **changes)
        return event, lambda: find(database, event.recording_uuid)[0]

    return make


@pytest.mark.parametrize("order", [*itertools.permutations(range(3))], ids=str)
def test_call_events_and_recording_join_in_whichever_order_they_come(note, recorded, order):
    event, shown = recorded()
    parts = [asked(), happened(), event]
    for n in order:
        note(parts[n])
    found = shown()
    assert (found.from_, found.to, found.direction) == ("447700900001", "447700900000", "inbound")
    assert (found.flow, found.format, found.channels) == ("split", "wav", 2)
    assert found.region_url == "https://api-us-3.vonage.com"


@pytest.mark.parametrize(("call", "recording"), [(CON, BARE), (BARE, CON), (CON, CON.lower())])
def test_con_or_not_is_the_same_conversation(note, recorded, call, recording):
    event, shown = recorded(recording)
    note(asked(conversation_uuid=call))
    note(event)
    assert shown().from_ == "447700900001"
    assert shown().conversation_uuid == recording  # as it came


@pytest.mark.parametrize("answered_first", [True, False])
def test_the_leg_that_connect_makes_changes_neither_direction_nor_numbers(note, recorded, answered_first):
    event, shown = recorded()
    second = happened(leg_uuid="leg-b", direction="outbound", from_="447700900000", to="447700900002")
    first = [asked(), happened("started")]
    for what in [*(first if answered_first else reversed(first)), second, happened("completed"), event]:
        note(what)
    found = shown()
    assert (found.direction, found.from_, found.to) == ("inbound", "447700900001", "447700900000")


def test_the_second_legs_events_may_even_come_first(note, recorded):
    event, shown = recorded()
    second = happened(leg_uuid="leg-b", direction="outbound")
    for what in [asked(), second, happened("ringing"), event]:
        note(what)
    assert shown().direction == "inbound"


def test_the_answer_is_surer_than_the_flows_name(note, recorded):
    event, shown = recorded(flow="call", format="mp3", channels=1)
    note(asked(flow="voicemail", format="ogg", channels=None))
    note(event)
    found = shown()
    assert (found.flow, found.format, found.channels) == ("call", "ogg", 1)


def test_a_client_sdk_caller_is_known_by_name(note, recorded):
    event, shown = recorded()
    note(asked(from_=None, from_user="JaneDoe"))
    note(event)
    assert shown().from_ == "JaneDoe"


def test_a_transfer_joins_the_recording_of_the_room_to_the_leg_that_moved_there_first(note, recorded):
    event, shown = recorded(ROOM)
    note(asked())
    note(happened("transfer", conversation_uuids=(CON, ROOM), direction=None))
    second = "CON-bbbbbbbb-4a51-4f6b-86e1-46edebcf9356"
    note(asked(conversation_uuid=second, uuid="leg-z", from_="447700900009"))
    note(happened("transfer", conversation_uuids=(second, ROOM), leg_uuid="leg-z", direction=None))
    note(event)
    assert (shown().from_, shown().flow) == ("447700900001", "split")


def test_a_transfer_is_in_the_history_of_both_conversations(note, recorded, database):
    here, here_shown = recorded(CON)
    there, there_shown = recorded(ROOM)
    for what in [happened("transfer", conversation_uuids=(CON, ROOM)), happened("completed"), here, there]:
        note(what)
    assert [row["kind"] for row in call_history(database, here_shown())] == ["transfer", "completed"]
    assert [row["kind"] for row in call_history(database, there_shown())] == ["transfer"]


def test_a_conversations_own_call_goes_before_one_that_moved_in(note, recorded):
    event, shown = recorded(ROOM)
    note(happened("transfer", conversation_uuids=(CON, ROOM)))
    note(asked(conversation_uuid=ROOM, from_="447700900007"))
    note(event)
    assert shown().from_ == "447700900007"


def test_a_call_without_a_conversation_is_not_noted(note, rows):
    note(asked(conversation_uuid=None))
    note(asked(conversation_uuid=""))
    assert rows(calls) == []


def test_an_event_that_names_no_conversation_is_kept_raw_alone(note, rows):
    assert note(happened("error", conversation_uuids=())).outcome == "noted"
    assert (rows(calls), rows(call_events)) == ([], [])


def test_an_event_without_words_makes_the_call_known_and_breaks_nothing(note, rows):
    bare = CallEvent("notify", (CON,))
    note(bare)
    note(bare)
    assert len(rows(calls)) == 1
    assert len(rows(call_events)) == 2


def test_the_first_end_of_a_call_is_kept(note, rows, clock):
    end = clock()
    note(happened("completed", timestamp=end))
    clock.move(60)
    note(happened("completed", leg_uuid="leg-b", timestamp=clock()))
    assert rows(calls)[0]["completed_at"] == end


def test_long_words_of_a_call_are_kept_whole(note, rows):
    sip = "sip:" + "x" * 5000 + "@example.com"
    note(happened("k" * 300, from_=sip, to=sip, leg_uuid="l" * 255, direction="d" * 300))
    assert rows(calls)[0]["from_number"] == sip
    assert rows(call_events)[0]["kind"] == "k" * 300
