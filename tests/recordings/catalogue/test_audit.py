"""The audit: what is noted once and what each time, how it is searched, and how it is exported."""

from __future__ import annotations

import csv
import io
import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta

import pytest

from recordings.access import Action, Actor, Role
from recordings.catalogue.audit import Audit, as_csv, as_jsonl
from recordings.errors import CatalogueUnavailable, InvalidInput

ANNA = Actor("anna", Role.LISTENER, "192.0.2.1", "account")
BOB = Actor("bob", Role.OPERATOR, "192.0.2.2", "account")


@pytest.fixture
def audit(database, clock):
    return Audit(database, clock=clock)


def actions(audit, **conditions):
    return [(entry.person, entry.action) for entry in audit.search(**conditions).entries]


def test_a_playback_is_noted_once_for_ten_minutes(audit, clock):
    noted = []
    for _ in range(25):
        audit.note(ANNA, Action.PLAY, recording_id=1)
        noted.append(len(audit.search().entries))
        clock.move(60)
    assert noted == [1] * 10 + [2] * 10 + [3] * 5


def test_another_listener_another_recording_and_another_action_are_noted_too(audit):
    for _ in range(2):
        audit.note(ANNA, Action.PLAY, recording_id=1)
        audit.note(BOB, Action.PLAY, recording_id=1)
        audit.note(ANNA, Action.PLAY, recording_id=2)
        audit.note(replace(ANNA, kind="token"), Action.PLAY, recording_id=1)
        audit.note(ANNA, Action.DOWNLOAD, recording_id=1)
    assert [entry.action for entry in audit.search().entries].count(Action.PLAY) == 4
    assert [entry.action for entry in audit.search().entries].count(Action.DOWNLOAD) == 2


def test_a_playback_in_several_processes_at_once_is_noted_once(make_database, database, clock):
    processes = [Audit(make_database(), clock=clock) for _ in range(4)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: processes[number % 4].note(ANNA, Action.PLAY, recording_id=1), range(16)))
    assert len(processes[0].search().entries) == 1


def test_what_cannot_be_noted_is_an_error(make_database, tmp_path):
    (tmp_path / "folder.db").mkdir()
    with pytest.raises(CatalogueUnavailable):
        Audit(make_database(f"sqlite:///{tmp_path}/folder.db")).note(ANNA, Action.PLAY, recording_id=1)


def test_it_is_searched_by_person_recording_action_and_time(audit, clock):
    start = clock()
    audit.note(ANNA, Action.PLAY, recording_id=1)
    clock.move(60)
    audit.note(BOB, Action.RETRY, recording_id=2)
    clock.move(60)
    audit.note(ANNA, Action.EXPORT)
    play, retry, export = ("anna", "play"), ("bob", "retry"), ("anna", "export")
    assert actions(audit) == [export, retry, play]
    assert actions(audit, person="Anna") == [export, play]
    assert actions(audit, person="nobody") == []
    assert actions(audit, recording_id=2) == [retry]
    assert actions(audit, action="export") == [export]
    assert actions(audit, since=start + timedelta(seconds=60)) == [export, retry]
    assert actions(audit, until=start + timedelta(seconds=60)) == [play]
    assert actions(audit, person="anna", recording_id=1, since=start, until=start + timedelta(seconds=1)) == [play]


def test_pages_join_without_a_gap_also_at_the_same_moment(audit):
    for number in range(7):
        audit.note(ANNA, Action.DOWNLOAD, recording_id=number)
    seen, cursor = [], None
    for _ in range(4):
        page = audit.search(cursor=cursor, limit=2)
        seen += [entry.recording_id for entry in page.entries]
        cursor = page.next_cursor
    assert (seen, cursor) == ([6, 5, 4, 3, 2, 1, 0], None)
    assert len(list(audit.entries(person="anna"))) == 7


@pytest.mark.parametrize(
    ("conditions", "says"),
    [
        ({"cursor": "x"}, "begin again"),
        ({"cursor": "20261122T120000.000000-"}, "begin again"),
        ({"cursor": "20261122T120000.000000-" + "9" * 30}, "begin again"),
        ({"cursor": ""}, "begin again"),
        ({"limit": 0}, "1 to 500"),
        ({"limit": 501}, "1 to 500"),
        ({"action": "dance"}, "play, download"),
        ({"person": "a b"}, "A name has"),
    ],
)
def test_a_wrong_search_says_what_is_right(audit, conditions, says):
    with pytest.raises(InvalidInput, match=says):
        audit.search(**conditions)


def test_an_entry_names_the_recording_and_outlives_it(audit, intake, delivery, announcement, rows):
    event = announcement()
    intake.accept(delivery(), [event])
    audit.note(ANNA, Action.PLAY, recording_id=1)
    audit.note(ANNA, Action.PLAY, recording_id=99)
    gone, known = audit.search().entries
    assert (known.recording_uuid, gone.recording_uuid) == (event.recording_uuid, None)


def test_it_is_exported_as_json_lines(audit):
    audit.note(ANNA, Action.EXPORT, detail="é")
    (line,) = as_jsonl(audit.entries())
    assert json.loads(line) == {
        "at": "2026-11-22T12:00:00Z",
        "person": "anna",
        "kind": "account",
        "address": "192.0.2.1",
        "action": "export",
        "recording_uuid": None,
        "detail": "é",
    }


def test_it_is_exported_as_csv_without_a_formula(audit):
    audit.note(replace(ANNA, name='=cmd|"x"'), Action.EXPORT, detail="-1, and\nmore")
    heading, row = csv.reader(io.StringIO(b"".join(as_csv(audit.entries())).decode()))
    assert heading == ["at", "person", "kind", "address", "action", "recording_uuid", "detail"]
    assert row[1:] == ['\'=cmd|"x"', "account", "192.0.2.1", "export", "", "'-1, and\nmore"]
