"""Everything that came can be looked at, refused deliveries too, and be taken in once more; nothing is doubled."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import text

from recordings.catalogue.inbox import Inbox, NoSuchDelivery, NotAdoptable
from recordings.catalogue.quotas import MAX_LIKELY, MAX_REFUSED_BODY, QUOTAS, Quota, Worth
from recordings.catalogue.tables import call_events, copies, deliveries, recordings, transcriptions
from recordings.errors import LeaseLost
from recordings.model import CallEvent, State, Transcription
from recordings.storage import PutResult


@pytest.fixture
def inbox(database, intake, clock):
    return Inbox(database, intake, retention_days=35, clock=clock)


@pytest.fixture
def fill(intake, inbox, delivery, announcement):
    """One delivery of each kind, a minute apart; the announcement of the recording."""

    def make(clock):
        event = announcement(recording_uuid="r-1")
        for action in (
            lambda: intake.accept(delivery(), [event]),
            lambda: intake.accept(delivery(route="events"), [CallEvent("answered", ("CON-1",), "leg")]),
            lambda: intake.keep(delivery(body=b"\xff"), "The body is not UTF-8 text."),
            lambda: inbox.keep_refused(delivery(signed=False, jti=None), "Bearer x", "Bad signature: it is bad."),
            lambda: intake.accept(delivery(), [event]),
        ):
            action()
            clock.move(60)
        return event

    return make


def test_all_are_listed_newest_last(fill, inbox, clock):
    fill(clock)
    assert [(kept.id, kept.outcome) for kept in inbox.listing()] == [
        (1, "new"),
        (2, "noted"),
        (3, "unreadable"),
        (4, "refused"),
        (5, "repeat"),
    ]


def test_the_filters_choose(fill, inbox, clock):
    start = clock()
    fill(clock)
    assert [kept.id for kept in inbox.listing(outcome="refused")] == [4]
    assert [kept.id for kept in inbox.listing(outcome="noted")] == [2]
    assert [kept.id for kept in inbox.listing(since=start + timedelta(seconds=150))] == [4, 5]
    assert [kept.id for kept in inbox.listing(recording_uuid="r-1")] == [1, 5]
    assert list(inbox.listing(recording_uuid="r-2")) == []


def test_one_is_shown_whole_and_its_token_in_no_repr(fill, inbox, clock):
    fill(clock)
    kept = inbox.find(4)
    assert (kept.delivery.body, kept.body_size, kept.token) == (b"{}", 2, "Bearer x")
    assert kept.problem == "Bad signature: it is bad."
    assert "Bearer" not in repr(kept)
    assert inbox.find(1).recording_uuid == "r-1"
    with pytest.raises(NoSuchDelivery, match="flask deliveries list"):
        inbox.find(99)


def test_listing_goes_on_over_many_pages(inbox, delivery):
    for number in range(405):
        inbox.keep_refused(delivery(query=str(number)), "", "")
    assert [kept.delivery.query for kept in inbox.listing()] == [str(number) for number in range(405)]
    newest_first = [kept.delivery.query for kept in inbox.listing(newest_first=True)]
    assert newest_first == [str(number) for number in reversed(range(405))]


# --- Refused deliveries ---


def test_a_long_body_is_cut_and_that_is_said(inbox, delivery):
    inbox.keep_refused(delivery(body=b"x" * 100_000), "", "Bad signature.")
    kept = inbox.find(1)
    assert kept.body_size == len(kept.delivery.body) == MAX_REFUSED_BODY
    assert kept.problem == "Bad signature. Only the first 65536 of 100000 bytes are kept."


def test_of_the_refused_only_the_newest_of_each_webhook_are_kept(database, intake, delivery, clock):
    inbox = Inbox(database, intake, quotas={Worth.UNLIKELY: Quota(3, 10**6)}, clock=clock)
    intake.accept(delivery(), [])
    for number in range(5):
        inbox.keep_refused(delivery(route="recordings", query=str(number)), "", "")
        inbox.keep_refused(delivery(route="events", query=str(number)), "", "")
    found = [(kept.delivery.route, kept.delivery.query) for kept in inbox.listing(outcome="refused")]
    assert sorted(found) == sorted((route, str(n)) for route in ("recordings", "events") for n in (2, 3, 4))
    assert len(list(inbox.listing(outcome="noted"))) == 1


@pytest.fixture
def small_inbox(database, intake, clock):
    """Room for three unlikely deliveries of each webhook, and for four of each other worth."""
    quotas = {worth: Quota(rows, 10**6) for worth, rows in zip(Worth, (3, 4, 4), strict=True)}
    return Inbox(database, intake, quotas=quotas, clock=clock)


def queries(inbox):
    return [stored.delivery.query for stored in inbox.listing(outcome="refused")]


def test_rubbish_pushes_out_nothing_that_looks_like_vonages(small_inbox, delivery):
    for number in range(3):
        small_inbox.keep_refused(delivery(query=f"real-{number}"), "Bearer x", "", Worth.RECORDING)
    for number in range(20):
        small_inbox.keep_refused(delivery(query=f"rubbish-{number}"), "", "")
        small_inbox.keep_refused(delivery(query=f"call-{number}"), "Bearer x", "", Worth.LIKELY)
    assert [query for query in queries(small_inbox) if query.startswith("real")] == ["real-0", "real-1", "real-2"]
    assert [query for query in queries(small_inbox) if query.startswith("rubbish")] == [
        "rubbish-17",
        "rubbish-18",
        "rubbish-19",
    ]


def test_imitations_neither_push_out_what_came_first_nor_keep_out_what_comes_now(small_inbox, delivery):
    for number in range(20):
        small_inbox.keep_refused(delivery(query=str(number)), "Bearer x", "", Worth.RECORDING)
    assert queries(small_inbox) == ["0", "1", "18", "19"]


@pytest.mark.parametrize(("body", "more", "token"), [(1.0, 0, 0), (0, 1.0, 0), (0, 0, 1.0), (0.4, 0.3, 0.4)])
def test_what_is_larger_than_any_event_of_vonages_is_unlikely(small_inbox, delivery, body, more, token):
    """Its body, its query and its token together: a stranger must not fill the disk with imitations."""
    sizes = [int(part * (MAX_LIKELY + 1)) for part in (body, more, token)]
    for number in range(5):
        large = delivery(query=str(number) + "&" * sizes[1], body=b"x" * sizes[0])
        small_inbox.keep_refused(large, "x" * sizes[2], "", Worth.RECORDING)
    assert [query.rstrip("&") for query in queries(small_inbox)] == ["2", "3", "4"]


@pytest.fixture
def narrow_inbox(database, intake, clock):
    """Room for many rows, and for 64,000 bytes of each worth on each webhook."""
    return Inbox(database, intake, quotas={worth: Quota(1_000, 64_000) for worth in Worth}, clock=clock)


def bytes_kept(inbox, worth):
    sizes = "SELECT SUM(LENGTH(body) + LENGTH(query) + LENGTH(token)) FROM deliveries WHERE worth = :worth"
    with inbox.database.read() as connection:
        return connection.execute(text(sizes), {"worth": worth}).scalar_one() or 0


@pytest.mark.parametrize("worth", Worth)
@pytest.mark.parametrize(
    ("body", "more", "token"), [(4_000, 0, 0), (0, 4_000, 0), (0, 0, 4_000), (1_000, 1_000, 2_000)]
)
def test_a_flood_of_large_imitations_fills_no_more_than_its_bytes(narrow_inbox, delivery, worth, body, more, token):
    for _ in range(60):
        narrow_inbox.keep_refused(delivery(query="&" * more, body=b"x" * body), "x" * token, "", worth)
        assert bytes_kept(narrow_inbox, worth) <= 64_000 + 64_000 / 16


def test_a_flood_of_large_imitations_pushes_out_nothing_of_vonages_size(narrow_inbox, delivery):
    for number in range(60):
        narrow_inbox.keep_refused(delivery(query=f"real-{number}", body=b"x" * 500), "x" * 400, "", Worth.RECORDING)
        narrow_inbox.keep_refused(delivery(query=f"false-{number}", body=b"x" * 4_000), "x" * 400, "", Worth.RECORDING)
    kept_queries = queries(narrow_inbox)
    assert [query for query in kept_queries if query.startswith("real")] == [f"real-{number}" for number in range(60)]
    assert any(query.startswith("false") for query in kept_queries)


def test_rubbish_takes_no_bytes_from_what_looks_like_vonages(narrow_inbox, delivery):
    for number in range(50):
        narrow_inbox.keep_refused(delivery(query=f"real-{number}", body=b"x" * 1_000), "", "", Worth.RECORDING)
        narrow_inbox.keep_refused(delivery(query=f"rubbish-{number}", body=b"x" * 10_000), "", "", Worth.UNLIKELY)
    kept_queries = queries(narrow_inbox)
    assert sum(query.startswith("real") for query in kept_queries) == 50
    assert 1 <= sum(query.startswith("rubbish") for query in kept_queries) <= 6


def test_what_was_kept_before_there_was_a_bound_is_deleted_step_by_step(
    database, narrow_inbox, intake, delivery, clock
):
    wide = Inbox(database, intake, clock=clock)
    for number in range(40):
        wide.keep_refused(delivery(query=str(number), body=b"x" * 4_000), "", "", Worth.LIKELY)
    narrow_inbox.keep_refused(delivery(), "", "", Worth.LIKELY)
    assert bytes_kept(narrow_inbox, Worth.LIKELY) <= 64_000


def test_all_quotas_together_are_what_the_readme_says():
    assert 3 * sum(quota.size for quota in QUOTAS.values()) == 120 * 1024 * 1024
    assert all(quota.rows * 1_200 <= 2 * quota.size for quota in QUOTAS.values())


def test_the_refused_have_an_index_of_their_own(database):
    plan = "EXPLAIN QUERY PLAN SELECT id FROM deliveries WHERE outcome = 'refused' AND route = 'x' ORDER BY id DESC"
    with database.read() as connection:
        told = connection.execute(text(plan)).scalars().all()
        lines = [row[3] for row in connection.execute(text(plan))]
    assert told
    assert any("ix_deliveries_refused" in line for line in lines), lines


# --- Replay ---


def as_kept(*events):
    """An interpreter that finds nothing wrong, and these events."""
    return lambda kept: (replace(kept.delivery, signed=True, jti="jti-2", application_id="theirs"), events)


def test_a_refused_delivery_is_taken_in_like_a_new_one(inbox, delivery, announcement, rows):
    inbox.keep_refused(delivery(signed=False), "Bearer x", "Bad signature.")
    replayed = inbox.replay(1, as_kept(announcement()))
    assert (replayed.before.outcome, replayed.accepted.outcome) == ("refused", "new")
    assert len(replayed.accepted.copy_ids) == len(rows(copies)) == 1
    (row,) = rows(deliveries)
    assert (row["outcome"], row["problem"], row["token"]) == ("new", None, None)
    assert (row["signed"], row["jti"], row["application_id"]) == (True, "jti-2", "theirs")
    assert rows(recordings)[0]["application_id"] == "theirs"


def test_replaying_again_doubles_nothing(inbox, intake, delivery, announcement, rows):
    told = (announcement(), CallEvent("completed", ("CON-1",), "leg"), Transcription("r", None, "transcribed", "u"))
    intake.accept(delivery(), told)
    tables = (recordings, copies, call_events, transcriptions, deliveries)
    before = [len(rows(table)) for table in tables]
    for _ in range(3):
        assert inbox.replay(1, lambda kept: (kept.delivery, told)).accepted.outcome == "repeat"
    assert [len(rows(table)) for table in tables] == before
    assert rows(deliveries)[0]["outcome"] == "new", "what it did when it came stands"


def test_a_delivery_that_is_still_not_understood_stays_as_it_is(inbox, intake, delivery, rows):
    intake.keep(delivery(), "The body is not JSON.")

    def refuse(kept):
        raise NoSuchDelivery("no")

    before = rows(deliveries)
    with pytest.raises(NoSuchDelivery):
        inbox.replay(1, refuse)
    assert rows(deliveries) == before


# --- Retention ---


def test_old_deliveries_go_and_what_they_told_stays(inbox, intake, delivery, announcement, clock, rows):
    told = (announcement(), CallEvent("completed", ("CON-1",), "leg"), Transcription("r", None, "transcribed", "u"))
    intake.accept(delivery(), told)
    clock.move(35 * 86400)
    intake.accept(delivery(), [])
    assert inbox.prune() == 0
    clock.move(1)
    assert inbox.prune() == 1
    assert [row["id"] for row in rows(deliveries)] == [2]
    assert [len(rows(table)) for table in (recordings, copies, call_events, transcriptions)] == [1, 1, 1, 1]
    assert rows(call_events)[0]["delivery_id"] is None
    assert inbox.prune() == 0


def test_many_old_ones_go_in_small_transactions(inbox, delivery, clock, rows):
    for _ in range(501):
        inbox.keep_refused(delivery(), "", "")
    clock.move(36 * 86400)
    assert inbox.prune() == 501
    assert rows(deliveries) == []


# --- Adopting the URL of a conflict -----------------------------------------------------------------------------------


@pytest.fixture
def conflict(intake, delivery, announcement):
    """A recording with a wrong first URL, and the delivery that tells another: the event of each, the second's id."""
    wrong = announcement(recording_uuid="r-1", recording_url="https://wrong.example/x")
    right = replace(wrong, recording_url="https://api.nexmo.com/v1/files/right", size=77)
    intake.accept(delivery(), [wrong])
    assert intake.accept(delivery(), [right]).outcome == "conflict"
    return wrong, right, 2


def test_a_persons_word_gives_a_recording_the_url_of_a_conflict(inbox, conflict, leases, due_ids, clock, rows, caplog):
    _, right, row_id = conflict
    leases.retry_later(leases.claim_next(), State.BLOCKED, "RECORDING_HOSTS does not allow it", 3600)
    clock.move(60)
    assert inbox.adopt(row_id, lambda kept: (kept.delivery, [right])) == due_ids() == [1]
    claim = leases.claim_next()
    assert (claim.recording.recording_url, claim.recording.size) == (right.recording_url, 77)
    assert "On a person's word recording r-1 has the URL of delivery 2 now" in caplog.text
    assert len(rows(recordings)) == 1


def test_work_on_the_former_url_does_not_count_any_more(inbox, conflict, leases):
    _, right, row_id = conflict
    claim = leases.claim_next()
    inbox.adopt(row_id, lambda kept: (kept.delivery, [right]))
    with pytest.raises(LeaseLost):
        leases.failed(claim, "no such host")
    assert leases.claim_next().recording.recording_url == right.recording_url


def test_a_recording_that_was_empty_gets_its_copies(inbox, intake, delivery, announcement, due_ids):
    empty = announcement(recording_uuid="r-1", recording_url="", size=0)
    full = announcement(recording_uuid="r-1", conversation_uuid="CON-2")
    intake.accept(delivery(), [empty])
    assert intake.accept(delivery(), [full]).outcome == "conflict"
    assert inbox.adopt(2, lambda kept: (kept.delivery, [full])) == due_ids() == [1]


def test_nothing_is_adopted_where_a_copy_is_stored(inbox, conflict, leases, rows):
    _, right, row_id = conflict
    assert inbox.is_adoptable(inbox.find(row_id))
    assert not inbox.is_adoptable(inbox.find(1))
    leases.stored(leases.claim_next(), key="k", content_type="audio/mpeg", result=PutResult(1, "ab", True, "uri"))
    assert not inbox.is_adoptable(inbox.find(row_id))
    before = rows(recordings), rows(copies)
    with pytest.raises(NotAdoptable, match="stored already"):
        inbox.adopt(row_id, lambda kept: (kept.delivery, [right]))
    assert (rows(recordings), rows(copies)) == before


def test_only_what_announces_that_recording_is_adopted(inbox, conflict, announcement, rows):
    wrong, right, row_id = conflict
    before = rows(recordings), rows(copies)
    with pytest.raises(NotAdoptable, match="is new, and only a conflict"):
        inbox.adopt(1, lambda kept: (kept.delivery, [wrong]))
    for events in (
        [],
        [announcement()],
        [replace(right, recording_url="")],
        [CallEvent("answered", ("CON-1",), "leg")],
    ):
        with pytest.raises(NotAdoptable, match="announces no file of recording r-1"):
            inbox.adopt(row_id, lambda kept, events=events: (kept.delivery, events))
    with pytest.raises(NoSuchDelivery):
        inbox.adopt(4711, lambda kept: (kept.delivery, [right]))
    assert (rows(recordings), rows(copies)) == before
