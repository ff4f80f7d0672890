"""Which calls are noted as told to record: those that a recording must come of."""

from __future__ import annotations

import pytest

from webhooks import flows

TALK = {"action": "talk", "text": "Hello."}


@pytest.mark.parametrize(
    ("path", "records"),
    [
        ("answer/voicemail", True),
        ("answer/call", True),
        ("answer/split", True),
        ("answer/conversation?name=x", True),
        ("answer/moderated?name=x", False),  # an attendee: the moderator's call is what is recorded
        ("answer/moderated?name=x&role=moderator", True),
        ("fallback", True),
    ],
)
def test_a_call_is_noted_as_told_to_record_by_what_its_ncco_says(house, path, records):
    assert house.post(path, b'{"conversation_uuid": "CON-1", "uuid": "leg"}').status_code == 200
    (call,) = house.noted()
    assert call.records is records


@pytest.mark.parametrize(
    ("ncco", "records"),
    [
        ([TALK], False),
        ([{"action": "record"}, TALK], True),
        ([{"action": "conversation", "name": "x", "record": "true"}], True),
        ([{"action": "conversation", "name": "x", "record": "false"}], False),
        ([{"action": "conversation", "name": "x"}], False),
    ],
)
def test_a_plugins_own_ncco_counts(make_house, ncco, records):
    house = make_house(answer_call=lambda call: ncco)
    assert house.post("answer", b'{"conversation_uuid": "CON-1", "uuid": "leg"}').status_code == 200
    (call,) = house.noted()
    assert (call.flow, call.records) == ("plugin", records)


@pytest.mark.parametrize("nonsense", [None, "record", {"action": "record"}, [None, 1, "record"]])
def test_what_is_no_ncco_records_nothing(nonsense):
    assert flows.records(nonsense) is False
