"""How people ask the audit: every field sets a condition, and a wrong one says what is right."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from recordings.catalogue.audit_query import audit_conditions
from recordings.errors import InvalidInput


def test_each_field_sets_a_condition_and_an_empty_one_sets_none(database, clock, intake, announcement, delivery):
    event = announcement()
    intake.accept(delivery(), [event])
    fields = {"person": " Anna ", "since": "2026-11-20", "until": "2026-11-21", "action": "play"}
    assert audit_conditions(database, fields | {"recording": event.recording_uuid}, clock=clock) == {
        "person": "anna",
        "since": datetime(2026, 11, 20, tzinfo=UTC),
        "until": datetime(2026, 11, 22, tzinfo=UTC),
        "action": "play",
        "recording_id": 1,
    }
    assert audit_conditions(database, {"person": " ", "action": ""}, clock=clock) == {}


@pytest.mark.parametrize(
    ("fields", "right"),
    [
        ({"who": "anna"}, "use person, since"),
        ({"person": "a b"}, "without spaces"),
        ({"action": "listen"}, "write one of play"),
        ({"until": "soon"}, "write 2026-11-22"),
        ({"since": "2026-11-22", "until": "2026-11-21"}, "must not be after"),
        ({"recording": "nothing"}, "recording_uuid"),
        ({"person": "a\x00"}, "without control characters"),
    ],
)
def test_a_wrong_field_says_what_is_right(database, fields, right):
    with pytest.raises(InvalidInput, match=right):
        audit_conditions(database, fields)
