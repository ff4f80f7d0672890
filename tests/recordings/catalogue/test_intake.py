"""What one webhook brings is committed together, once, and whatever comes later is judged by what is there."""

from __future__ import annotations

import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import delete

from recordings.catalogue.intake import MAX_UNSIGNED_BODY, Intake
from recordings.catalogue.listing import find
from recordings.catalogue.tables import call_events, copies, deliveries, recordings, transcriptions
from recordings.errors import CatalogueUnavailable
from recordings.model import CallEvent, State, Transcription

ACCEPT_WHEN_TOLD = """
import sys
from concurrent.futures import ThreadPoolExecutor
from recordings.catalogue.intake import Intake
from recordings.catalogue.database import Database
from recordings.model import Announcement, Delivery
database = Database(sys.argv[1])
intake = Intake(database, ["file:///a", "file:///b"])
delivery = Delivery("recordings", "POST", "", "application/json", b"{}", "the-application", True)
event = Announcement("the-one", "CON-1", "https://api.nexmo.com/v1/files/x", 5, None, None, None)
print("ready", flush=True)
sys.stdin.readline()
with ThreadPoolExecutor(5) as pool:
    accepted = list(pool.map(lambda _: intake.accept(delivery, [event]), range(5)))
print(" ".join(f"{one.outcome}:{len(one.copy_ids)}" for one in accepted))
"""


@pytest.fixture
def accept(intake, delivery):
    """`accept(*events)`: what became of a delivery that says this."""
    return lambda *events, **words: intake.accept(delivery(**words), events)


def test_a_new_recording_its_delivery_and_its_copies_are_committed_together(
    accept, announcement, rows, clock, make_database
):
    event = announcement(flow="split", format="wav", channels=2)
    accepted = accept(event, body=b'{"recording_uuid": "x"}', query="flow=split", jti="j-9")
    assert accepted.outcome == "new"
    (kept,) = rows(deliveries)
    (row,) = rows(recordings)
    (copy,) = rows(copies)
    assert (kept["body"], kept["query"], kept["jti"]) == (b'{"recording_uuid": "x"}', "flow=split", "j-9")
    assert (kept["outcome"], kept["recording_id"], kept["received_at"]) == ("new", row["id"], clock())
    assert (row["recording_uuid"], row["flow"], row["format"], row["channels"]) == (
        event.recording_uuid,
        "split",
        "wav",
        2,
    )
    assert accepted.copy_ids == (copy["id"],)
    assert (copy["state"], copy["attempts"], copy["token"]) == ("pending", 0, None)
    assert find(make_database(), event.recording_uuid)[0].state is State.PENDING  # another process sees it


def test_a_commit_that_fails_leaves_nothing_of_the_delivery(intake, delivery, announcement, rows):
    broken = announcement(size=["no number"])
    with pytest.raises(Exception, match="not supported"):
        intake.accept(delivery(), [announcement(), broken])
    assert (rows(deliveries), rows(recordings), rows(copies)) == ([], [], [])


def test_each_storage_gets_its_copy(database, delivery, announcement, clock, rows):
    intake = Intake(database, ["file:///a", "gs://b/c"], clock=clock)
    accepted = intake.accept(delivery(), [announcement()])
    assert [row["storage"] for row in rows(copies)] == ["file:///a", "gs://b/c"]
    assert accepted.copy_ids == tuple(row["id"] for row in rows(copies))


def test_a_delivery_may_hold_several_recordings(accept, announcement, rows):
    accepted = accept(announcement(), announcement())
    assert (accepted.outcome, len(accepted.copy_ids), len(rows(deliveries))) == ("new", 2, 1)


def test_a_new_copy_is_due_at_once_and_the_workers_of_this_process_hear_of_it(
    database, delivery, announcement, clock, due_ids
):
    heard = []
    intake = Intake(database, ["file:///a", "file:///b"], clock=clock, announce=heard.append)
    accepted = intake.accept(delivery(), [announcement()])
    assert (due_ids(), heard) == (list(accepted.copy_ids), [2])
    intake.accept(delivery(), [announcement(recording_url="", size=0)])
    assert heard == [2]  # nothing is to be copied


# --- Again ------------------------------------------------------------------------------------------------------------


def test_a_repeat_is_kept_raw_and_makes_no_second_row(accept, announcement, rows):
    event = announcement()
    accept(event)
    again = accept(event)
    assert (again.outcome, again.copy_ids) == ("repeat", ())
    assert [row["outcome"] for row in rows(deliveries)] == ["new", "repeat"]
    assert (len(rows(recordings)), len(rows(copies))) == (1, 1)


@pytest.mark.parametrize("prefixed_first", [True, False])
def test_a_repeat_may_write_the_conversation_with_con_or_without(accept, announcement, prefixed_first):
    forms = ["CON-63F61863-4A51-4F6B-86E1-46EDEBCF9356", "63f61863-4a51-4f6b-86e1-46edebcf9356"]
    first, second = forms if prefixed_first else reversed(forms)
    accept(announcement(recording_uuid="r", conversation_uuid=first))
    assert accept(announcement(recording_uuid="r", conversation_uuid=second)).outcome == "repeat"


@pytest.mark.parametrize(("first", "second"), [("", "CON-1"), ("CON-1", ""), ("", "")])
def test_an_announcement_without_a_conversation_is_a_repeat_and_no_conflict(accept, announcement, rows, first, second):
    words = {"recording_uuid": "r", "recording_url": "https://api.nexmo.com/v1/files/a"}
    assert accept(announcement(**words, conversation_uuid=first)).outcome == "new"
    assert accept(announcement(**words, conversation_uuid=second)).outcome == "repeat"
    assert [row["conversation_uuid"] for row in rows(recordings)] == [first]


def test_audio_that_is_announced_without_a_conversation_keeps_the_one_that_is_known(accept, announcement, rows):
    accept(announcement(recording_uuid="r", conversation_uuid="CON-1", recording_url=""))
    assert accept(announcement(recording_uuid="r", conversation_uuid="")).outcome == "new"
    (row,) = rows(recordings)
    assert (row["conversation_uuid"], row["conversation_key"], row["empty"]) == ("CON-1", "1", False)


def test_recordings_without_a_conversation_are_recordings_of_no_call(accept, announcement, rows, database):
    accept(announcement(recording_uuid="a", conversation_uuid=""))
    accept(announcement(recording_uuid="b", conversation_uuid=""))
    accept(CallEvent("answered", ("CON-1",), "leg", "4477009", "4477001", "inbound"))
    assert [find(database, uuid)[0].from_ for uuid in ("a", "b")] == [None, None]


@pytest.mark.parametrize("changed", [{"recording_url": "https://evil.example/x"}, {"conversation_uuid": "CON-other"}])
def test_at_a_conflict_the_first_stands_and_the_second_is_kept_raw(accept, announcement, rows, changed):
    words = {"recording_uuid": "r", "conversation_uuid": "CON-1"}
    accept(announcement(**words))
    (before,) = rows(recordings)
    accepted = accept(announcement(**words | changed), body=b"the other")
    assert (accepted.outcome, accepted.copy_ids) == ("conflict", ())
    assert rows(recordings) == [before]
    assert (rows(deliveries)[1]["outcome"], rows(deliveries)[1]["body"]) == ("conflict", b"the other")
    assert rows(deliveries)[1]["recording_id"] == before["id"]


def test_the_same_uuid_of_another_application_is_another_recording(accept, announcement, rows):
    event = announcement()
    assert accept(event, application_id="one").outcome == "new"
    assert accept(event, application_id="two").outcome == "new"
    assert len(rows(copies)) == 2


@pytest.mark.parametrize("nothing", [{"recording_url": "", "size": 0}, {"size": 0}, {"recording_url": ""}])
def test_an_empty_recording_is_kept_shown_and_never_fetched(accept, announcement, rows, database, nothing):
    event = announcement(**nothing)
    accepted = accept(event)
    assert (accepted.outcome, accepted.copy_ids, rows(copies)) == ("new", (), [])
    assert find(database, event.recording_uuid)[0].state is State.EMPTY
    assert accept(event).outcome == "repeat"


def test_an_empty_recording_whose_url_comes_later_is_fetched(accept, announcement, database):
    words = {"recording_uuid": "r", "conversation_uuid": "CON-1"}
    accept(announcement(**words, recording_url="", size=0))
    accepted = accept(announcement(**words, recording_url="https://api.nexmo.com/v1/files/late", size=7))
    assert (accepted.outcome, len(accepted.copy_ids)) == ("new", 1)
    (found,) = find(database, "r")
    assert (found.recording_url, found.size, found.state) == (
        "https://api.nexmo.com/v1/files/late",
        7,
        State.PENDING,
    )
    accept(announcement(**words, recording_url="", size=0))  # the empty one once more: nothing is undone
    assert find(database, "r")[0].recording_url == "https://api.nexmo.com/v1/files/late"


def test_an_empty_recording_does_not_become_one_of_another_conversation(accept, announcement):
    accept(announcement(recording_uuid="r", conversation_uuid="CON-1", recording_url="", size=0))
    assert accept(announcement(recording_uuid="r", conversation_uuid="CON-2")).outcome == "conflict"


def test_twenty_threads_with_the_same_event_make_one_recording(make_database, delivery, announcement, rows):
    event, together = announcement(), threading.Barrier(20)
    catalogues = [Intake(make_database(), ["file:///a"]) for _ in range(4)]

    def accept_at_once(n):
        together.wait(10)
        return catalogues[n % 4].accept(delivery(jti=f"jti-{n}"), [event])

    with ThreadPoolExecutor(20) as pool:
        accepted = list(pool.map(accept_at_once, range(20)))
    assert sorted(one.outcome for one in accepted) == ["new"] + ["repeat"] * 19
    assert sum(len(one.copy_ids) for one in accepted) == 1
    assert (len(rows(recordings)), len(rows(copies)), len(rows(deliveries))) == (1, 1, 20)


def test_one_that_cannot_be_written_takes_no_other_with_it(make_database, delivery, announcement, rows):
    intake, together = Intake(make_database(), ["file:///a"]), threading.Barrier(12)

    def accept_at_once(n):
        together.wait(10)
        event = announcement(recording_uuid=f"r-{n}", size=["no number"] if n == 5 else n + 1)
        try:
            return intake.accept(delivery(), [event]).outcome
        except Exception as error:
            return type(error).__name__

    with ThreadPoolExecutor(12) as pool:
        said = list(pool.map(accept_at_once, range(12)))
    assert said[5] not in ("new", "CatalogueUnavailable")
    assert said[:5] + said[6:] == ["new"] * 11
    assert len(rows(recordings)) == len(rows(deliveries)) == 11


def test_processes_with_the_same_event_make_one_recording(database_url, rows):
    command, pipe = [sys.executable, "-c", ACCEPT_WHEN_TOLD, database_url], subprocess.PIPE
    children = [subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) for _ in range(4)]
    for child in children:
        assert child.stdout.readline() == "ready\n"
    for child in children:
        child.stdin.write("go\n")
        child.stdin.flush()
    said = " ".join(child.communicate(timeout=60)[0] for child in children).split()
    assert sorted(said) == ["new:2"] + ["repeat:0"] * 19
    assert (len(rows(recordings)), len(rows(copies))) == (1, 2)


# --- The rest ---------------------------------------------------------------------------------------------------------


def test_what_cannot_be_understood_is_kept_whole(intake, delivery, rows):
    body = bytes(range(256)) * 4096  # 1 MiB of anything
    intake.keep(delivery(body=body, query="\ufffd" * 2000), "not JSON" * 100)
    (row,) = rows(deliveries)
    assert (row["body"], row["outcome"], row["signed"]) == (body, "unreadable", True)
    assert row["problem"] == "not JSON" * 100


def test_a_large_delivery_that_nobody_signed_is_kept_cut(accept, announcement, rows):
    accept(announcement(), body=b"x" * 1_000_000, signed=False, jti=None)
    (row,) = rows(deliveries)
    assert row["body"] == b"x" * MAX_UNSIGNED_BODY
    assert "only the first" in row["problem"]


@pytest.mark.parametrize("known", [True, False])
def test_a_token_that_is_sent_again_and_again_makes_a_handful_of_rows(intake, delivery, announcement, rows, known):
    replayed = [announcement()] if known else [CallEvent("ringing", ("CON-1",), "leg", None, None, None, None)]
    outcomes = {intake.accept(delivery(jti="captured"), replayed).outcome for _ in range(200)}
    assert outcomes == ({"new", "repeat"} if known else {"noted"})
    assert len(rows(deliveries)) == 3
    assert len(rows(call_events)) == (0 if known else 3)
    intake.accept(delivery(jti="a new token"), replayed)
    assert len(rows(deliveries)) == 4


def test_what_is_not_understood_makes_a_handful_of_rows_too(intake, delivery, rows):
    for _ in range(200):
        intake.keep(delivery(jti="captured", body=b"?"), "not JSON")
    assert len(rows(deliveries)) == 3


def test_a_recording_that_the_catalogue_has_lost_is_taken_in_however_often_it_came(
    intake, delivery, announcement, rows
):
    for _ in range(10):
        intake.accept(delivery(jti="captured"), [announcement()])
    with intake.database.write() as connection:
        for table in (copies, deliveries, recordings):
            connection.execute(delete(table))
    assert intake.accept(delivery(jti="captured"), [announcement()]).outcome == "new"
    assert [len(rows(table)) for table in (recordings, copies, deliveries)] == [1, 1, 1]


def test_long_texts_are_kept_whole(accept, announcement, database):
    words = {
        "recording_uuid": "r" * 255,
        "conversation_uuid": "\N{PILE OF POO}" * 255,
        "recording_url": "https://api.nexmo.com/v1/files/" + "x" * 8000,
        "size": 2**53,
    }
    accept(announcement(**words))
    (found,) = find(database, "r" * 255)
    assert {name: getattr(found, name) for name in words} == words


def test_transcriptions_are_kept_also_before_their_recording(accept, rows):
    done = Transcription("r", "CON-1", "transcribed", "https://api.nexmo.com/v1/files/t")
    failed = Transcription("r", None, "transcription_failed", None, "no speech" * 500)
    assert accept(done, route="transcriptions").outcome == "noted"
    accept(failed)
    assert [(row["status"], row["url"], row["error"]) for row in rows(transcriptions)] == [
        ("transcribed", done.url, None),
        ("transcription_failed", None, "no speech" * 500),
    ]


def test_a_catalogue_that_cannot_commit_says_so(make_database, delivery, announcement, tmp_path):
    (tmp_path / "catalogue.db").mkdir()
    intake = Intake(make_database(), ["file:///a"])
    for write in (lambda: intake.accept(delivery(), [announcement()]), lambda: intake.keep(delivery(), "?")):
        with pytest.raises(CatalogueUnavailable):
            write()
