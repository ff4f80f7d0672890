"""People are told when a trouble begins, at most once an hour while it grows, and when it is over: never a storm."""

from __future__ import annotations

import logging
import threading
from datetime import timedelta

import pytest
from sqlalchemy import update

from recordings.care.notices import Notifier
from recordings.care.people import InvalidAddress, NotSent, Recipient, recipients
from recordings.catalogue.missing import MissingCalls
from recordings.catalogue.notices import Notices
from recordings.catalogue.tables import copies
from recordings.catalogue.troubles import Trouble, Troubles
from recordings.catalogue.workers import Workers
from recordings.model import Call, CallEvent, State
from tests.services.listener import listening
from tests.services.servers import database_url, postgres_server_url, postgres_url  # noqa: F401 - fixtures

__all__ = ["listening"]

HOUR = 3600


@pytest.fixture
def troubles(database, clock):
    return Troubles(database, clock=clock)


@pytest.fixture
def make_notifier(database, clock, listening):
    """`make_notifier(database, *urls)`: a notifier that tells these addresses, by default the test's own server."""

    def make(where=database, *urls):
        addresses = urls or (f"json://127.0.0.1:{listening.port}/people",)
        notices, troubles = Notices(where), Troubles(where, clock=clock)
        return Notifier(notices, troubles, recipients(addresses), public_url="https://tapes.example", clock=clock)

    return make


@pytest.fixture
def notifier(make_notifier):
    return make_notifier()


@pytest.fixture
def titles(listening):
    """`titles()`: of the notices so far."""
    return lambda: [request.json["title"] for request in listening.received]


@pytest.fixture
def block(leases, new_copy):
    """`block()`: one more copy is blocked; its id."""

    def make():
        copy_id = new_copy()
        leases.retry_later(leases.claim(copy_id), State.BLOCKED, "The bucket is gone.", 10**7)
        return copy_id

    return make


@pytest.fixture
def unblock(database, clock):
    """`unblock(copy_id)`: the copy is stored after all."""

    def end(copy_id):
        with database.write() as connection:
            stored = update(copies).where(copies.c.id == copy_id).values(state=State.STORED.value, due_at=None)
            connection.execute(stored)

    return end


def test_where_all_is_well_nobody_is_told(notifier, titles):
    notifier.look()
    assert titles() == []


def test_a_notice_says_what_how_many_since_when_and_what_to_do(notifier, block, listening):
    block()
    block()
    notifier.look()
    (request,) = listening.received
    notice = request.json
    assert (notice["title"], notice["type"]) == ("Tapekeeper: 2 copies are blocked", "warning")
    assert "since 2026-11-22 12:00 UTC" in notice["message"]
    assert "flask recordings list --state blocked" in notice["message"]
    assert "https://tapes.example/\n" in notice["message"]


def test_a_trouble_is_told_once_then_at_most_each_hour_while_it_grows_and_once_when_it_is_over(
    notifier, block, unblock, titles, clock
):
    ids = [block()]
    for _ in range(30):
        notifier.look()
        clock.move(60)
        ids.append(block())
    assert titles() == ["Tapekeeper: 1 copy is blocked"]
    for _ in range(60):
        notifier.look()
        clock.move(60)
    assert titles()[1:] == ["Tapekeeper: 31 copies are blocked"]
    for _ in range(300):
        notifier.look()
        clock.move(60)
    assert len(titles()) == 2, "it does not grow"
    for copy_id in ids:
        unblock(copy_id)
    for _ in range(30):
        notifier.look()
        clock.move(60)
    assert titles()[2:] == ["Tapekeeper: well again: no copy is blocked"]


def test_a_copy_that_is_just_tried_again_does_not_make_it_well(notifier, block, leases, titles, clock):
    copy_id = block()
    notifier.look()
    for _ in range(20):
        clock.move(HOUR)
        claim = leases.take(1, "file:///tapes")
        assert claim.copy_id == copy_id
        notifier.look()
        leases.retry_later(claim, State.BLOCKED, "The bucket is gone.", HOUR)
        clock.move(60)
        notifier.look()
    assert titles() == ["Tapekeeper: 1 copy is blocked"]


def test_what_comes_again_after_a_mend_is_told_although_it_is_less_than_before(notifier, block, unblock, titles, clock):
    ids = [block() for _ in range(5)]
    notifier.look()
    for copy_id in ids[1:]:
        unblock(copy_id)
    for _ in range(90):
        notifier.look()
        clock.move(60)
    block()
    notifier.look()
    assert titles() == ["Tapekeeper: 5 copies are blocked", "Tapekeeper: 2 copies are blocked"]


def test_a_trouble_that_comes_and_goes_is_told_twice_an_hour_at_most(notifier, block, unblock, titles, clock):
    for _ in range(12):
        copy_id = block()
        notifier.look()
        unblock(copy_id)
        for _ in range(20):
            clock.move(60)
            notifier.look()
    assert 4 <= len(titles()) <= 8, "in four hours"


def test_several_troubles_are_one_message_with_the_most_urgent_one_first(notifier, block, leases, new_copy, titles):
    block()
    leases.failed(leases.claim(new_copy()), "gone")
    notifier.look()
    assert titles() == ["Tapekeeper: 1 copy is blocked; 1 copy has failed"]


def test_one_process_of_all_tells(block, clock, make_database, make_notifier, titles):
    block()
    notifiers = [make_notifier(make_database()) for _ in range(4)]
    start = threading.Barrier(4)

    def look(notifier):
        start.wait(10)
        notifier.look()

    threads = [threading.Thread(target=look, args=(notifier,)) for notifier in notifiers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(titles()) == 1


def test_a_notice_that_is_not_taken_is_logged_without_its_address_and_sent_later(
    make_notifier, database, block, listening, clock, titles, caplog
):
    secret = f"json://user:hunter2@127.0.0.1:{listening.port}/T000/hidden"
    notifier = make_notifier(database, secret)
    block()
    listening.answers = [500, 500]
    with caplog.at_level(logging.DEBUG):
        notifier.look()
        notifier.look()
        assert len(listening.received) == 1
        clock.move(60)
        notifier.look()
        clock.move(60)
        notifier.look()
        assert len(listening.received) == 2, "the rest grows"
        clock.move(60)
        notifier.look()
    assert titles() == ["Tapekeeper: 1 copy is blocked"] * 3
    assert "flask notify test" in caplog.text
    ours = [record.getMessage() for record in caplog.records if not record.name.startswith("urllib3")]
    assert not [line for line in ours if "hunter2" in line or "hidden" in line]
    clock.move(600)
    notifier.look()
    assert len(listening.received) == 3


def test_one_address_that_is_down_keeps_no_other_from_its_notice(make_notifier, database, block, listening, titles):
    notifier = make_notifier(database, "json://127.0.0.1:1/down", f"json://127.0.0.1:{listening.port}/up")
    block()
    notifier.look()
    notifier.look()
    assert titles() == ["Tapekeeper: 1 copy is blocked"]


def test_a_service_that_hangs_ends_with_the_limit(listening):
    listening.answers = ["hang"]
    with pytest.raises(NotSent, match=r"longer than 0\.2 s"):
        Recipient(f"json://127.0.0.1:{listening.port}/x", seconds=0.2).send("title", "text")


def test_an_address_that_apprise_does_not_know_is_named_by_its_place(caplog):
    with caplog.at_level(logging.DEBUG), pytest.raises(InvalidAddress, match=r"address number 2 \(slack://…\)"):
        recipients(["json://127.0.0.1:1", "slack://hunter2"])
    assert "hunter2" not in caplog.text


# --- What counts as trouble -------------------------------------------------------------------------------------------


def test_copies_whose_recording_is_deleted_in_less_than_three_days_are_close(troubles, new_copy, clock):
    now = clock()
    for days in (26.9, 27.1, 29.9, 30.1):
        new_copy(start_time=None, end_time=now - timedelta(days=days))
    assert troubles.count()[Trouble.NEARING] == 2


def test_a_stored_copy_is_no_trouble(troubles, new_copy, unblock, clock):
    unblock(new_copy(end_time=clock() - timedelta(days=28)))
    Workers(troubles.database, clock=clock).sign()
    assert set(troubles.count().values()) == {0}


def test_nobody_archives_where_copies_wait_for_five_minutes_and_no_worker_lives(troubles, new_copy, clock):
    new_copy()
    clock.move(299)
    assert troubles.count()[Trouble.IDLE] == 0
    clock.move(1)
    assert troubles.count()[Trouble.IDLE] == 1
    Workers(troubles.database, clock=clock).sign()
    assert troubles.count()[Trouble.IDLE] == 0


def test_nobody_archives_is_told_by_a_process_that_only_looks(notifier, new_copy, clock, titles, database):
    new_copy()
    clock.move(300)
    notifier.look()
    Workers(database, clock=clock).sign()
    for _ in range(12):
        notifier.look()
        clock.move(60)
        Workers(database, clock=clock).sign()
    assert titles() == [
        "Tapekeeper: 1 copy waits, and no worker archives",
        "Tapekeeper: well again: a worker archives again",
    ]


def test_a_missing_call_is_trouble_without_its_numbers_and_for_thirty_days(
    notifier, intake, delivery, database, clock, listening, troubles
):
    intake.note_call(Call("CON-1", "leg", "447700900001", "447700900000", "voicemail", records=True), "a")
    for kind in ("answered", "completed"):
        intake.accept(delivery(route="events"), [CallEvent(kind, ("CON-1",), "leg")])
    clock.move(600)
    MissingCalls(database, clock=clock).settle()
    notifier.look()
    (request,) = listening.received
    assert request.json["title"] == "Tapekeeper: 1 call brought no recording"
    assert "4477009" not in request.body.decode()
    clock.move(30 * 86400 + 1)
    assert troubles.count()[Trouble.MISSING] == 0


def test_the_loop_looks_until_it_is_told_to_stop_once_in_a_process(notifier, block, listening, until):
    block()
    stopping = threading.Event()
    threads = [threading.Thread(target=notifier.run, args=(stopping,)) for _ in range(2)]
    for thread in threads:
        thread.start()
    until(lambda: listening.received, "the notice came")
    until(lambda: sum(thread.is_alive() for thread in threads) == 1, "the second loop has ended")
    stopping.set()
    for thread in threads:
        thread.join(10)
    assert not any(thread.is_alive() for thread in threads)
    assert len(listening.received) == 1
