"""The inbox in pages: newest first, by outcome, without a gap, and never more rows looked at than a page may cost."""

from __future__ import annotations

from datetime import timedelta

import pytest

from recordings.catalogue.inbox_pages import delivery_page
from recordings.errors import InvalidInput


@pytest.fixture
def fill(intake, announcement, delivery):
    """`fill("new", "unreadable", …)`: deliveries with these outcomes come, one after the other."""

    def come(*outcomes):
        for number, outcome in enumerate(outcomes):
            if outcome == "unreadable":
                intake.keep(delivery(body=str(number).encode()), "It is not JSON.")
            else:
                intake.accept(delivery(body=str(number).encode()), [announcement()])

    return come


def ids(page):
    return [stored.id for stored in page.rows]


def walk(database, **options):
    """The ids of every page, and how many pages there were."""
    seen, pages, before = [], 0, None
    while pages == 0 or before is not None:
        page = delivery_page(database, before=before, **options)
        seen, pages, before = seen + ids(page), pages + 1, page.before
    return seen, pages


def test_pages_are_newest_first_and_without_a_gap(database, fill):
    fill(*["new"] * 7)
    assert walk(database, limit=3) == ([7, 6, 5, 4, 3, 2, 1], 3)
    assert walk(database, limit=7) == ([7, 6, 5, 4, 3, 2, 1], 1)


def test_a_delivery_says_which_recording_it_led_to(database, fill):
    fill("new", "unreadable")
    unreadable, new = delivery_page(database).rows
    assert (new.recording_id, new.outcome) == (1, "new")
    assert (unreadable.recording_id, unreadable.problem) == (None, "It is not JSON.")


def test_a_page_looks_at_no_more_than_its_window_and_says_how_far_it_came(database, fill):
    fill("unreadable", "unreadable", "new", "new", "new", "new", "new")
    first = delivery_page(database, outcome="unreadable", window=3)
    assert ids(first) == []
    assert first.before is not None
    assert first.searched_to is not None
    assert walk(database, outcome="unreadable", window=3) == ([2, 1], 3)


def test_pages_go_no_further_back_than_they_are_asked_to(database, fill):
    fill("new", "unreadable", "unreadable", "unreadable")
    (newest, *_) = delivery_page(database).rows
    page = delivery_page(database, since=newest.received_at + timedelta(seconds=1), window=2)
    assert (page.rows, page.before, page.searched_to) == ((), None, None)
    assert walk(database, since=newest.received_at - timedelta(days=1), window=2) == ([4, 3, 2, 1], 2)


def test_the_deliveries_of_one_recording_are_there_at_once(database, fill):
    fill("new", *["unreadable"] * 5)
    uuid = delivery_page(database, outcome="new").rows[0].recording_uuid
    assert walk(database, recording_uuid=uuid, window=2) == ([1], 1)
    assert walk(database, recording_uuid="another", window=2) == ([], 1)


def test_an_empty_inbox_has_one_page(database):
    page = delivery_page(database)
    assert (page.rows, page.before, page.searched_to) == ((), None, None)


@pytest.mark.parametrize(("options", "right"), [({"outcome": "lost"}, "write one of new"), ({"limit": 0}, "from 1 to")])
def test_bad_input_says_what_is_right(database, options, right):
    with pytest.raises(InvalidInput, match=right):
        delivery_page(database, **options)
