"""The list of recordings: what it shows, what it finds, its pages, and addresses that nobody can read."""

from __future__ import annotations

import base64
import logging
import re

import pytest

from console.pages.links import Links, Place
from recordings.access import Role

from .site import CALLED, found_by, links_of, search_for, text_of


def test_a_row_says_when_who_called_whom_how_long_and_where_it_lies(site):
    page = site.call()
    reply = site.browser(Role.VIEWER).get("/recordings")
    assert reply.status_code == 200
    text = text_of(reply)
    assert re.search(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC 447700900001 → 447700900000", text)
    assert re.search(r"call Stored file:///\S+/recordings", text)
    assert "1-1 of 1, newest first" in text
    assert f'href="{page}"' in reply.get_data(as_text=True)


def test_a_recording_is_found_by_the_last_four_digits_of_either_number(site):
    site.call("447700900001")
    site.call("4915550002")
    browser = site.browser(Role.VIEWER)
    text = text_of(found_by(browser, number="0002", number_match="suffix"))
    assert "4915550002 →" in text
    assert "447700900001 →" not in text
    assert "Number ends with 0002" in text
    assert "1-2 of 2" in text_of(found_by(browser, number=CALLED[-4:], number_match="suffix"))
    assert "1-1 of 1" in text_of(found_by(browser, number="+49 155", number_match="prefix"))
    assert "1-1 of 1" in text_of(found_by(browser, number="+44 7700 900001", number_match="exact"))


def test_every_filter_of_the_form_can_be_taken_away_and_the_form_shows_it(site):
    site.call()
    browser = site.browser(Role.VIEWER)
    storage = site.deployment.wiring.settings.storage_url[0]
    chosen = {
        "state": "stored",
        "number": "447700900001",
        "number_match": "exact",
        "since": "2020-01-01",
        "until": "2099-12-31",
        "min_seconds": "0",
        "flow": "call",
        "storage": storage,
        "with_empty": "true",
    }
    reply = found_by(browser, **chosen)
    page = reply.get_data(as_text=True)
    for value in ("447700900001", "2020-01-01", "2099-12-31", "call"):
        assert f'value="{value}"' in page
    assert re.search(r'value="stored" selected', page)
    words = [
        *("State: Stored", "Number is 447700900001", "From 2020-01-01", "Until 2099-12-31", "At least 0 s"),
        *("Flow: call", f"Storage: {storage}", "Also those without audio"),
    ]
    for word in words:
        (link,) = links_of(reply, word)
        left = browser.get(link)
        assert "1-1 of 1" in text_of(left)
        assert [other for other in words if links_of(left, other)] == [other for other in words if other != word]


def test_a_list_that_is_empty_says_the_next_step(site):
    browser = site.browser(Role.VIEWER)
    text = text_of(browser.get("/recordings"))
    assert "No recordings yet" in text
    assert "https://tapes.example/webhooks/answer" in text
    assert "flask simulate call" in text
    site.deployment.announce(recording_url="", size=0)
    (link,) = links_of(browser.get("/recordings"), "nothing was recorded")
    assert "Empty" in text_of(browser.get(link))


def test_a_search_that_finds_nothing_says_to_take_a_filter_away(site):
    site.call()
    reply = found_by(site.browser(Role.VIEWER), number="99999", number_match="suffix")
    assert "No recording fits Remove one of the filters above." in text_of(reply)
    assert links_of(reply, "Number ends with 99999") == ["/recordings"]


def test_pages_follow_one_another_without_a_gap_and_count_on(site):
    pages = {site.call(stored=False) for _ in range(53)}
    browser = site.browser(Role.VIEWER)
    first = browser.get("/recordings")
    assert "1-50 of 53" in text_of(first)
    second = browser.get(links_of(first, "Older")[0])
    assert "51-53 of 53" in text_of(second)
    shown = [re.findall(r'href="(/recordings/\d+)"', reply.get_data(as_text=True)) for reply in (first, second)]
    assert [len(part) for part in shown] == [50, 3]
    assert set(shown[0]) | set(shown[1]) == pages
    assert not links_of(second, "Older")
    assert links_of(second, "Newest") == ["/recordings"]


def test_no_number_stands_in_an_address_or_a_log_line(site, caplog):
    caplog.set_level(logging.DEBUG)
    site.call("4915550002")
    browser = site.browser(Role.VIEWER)
    caplog.clear()
    reply = search_for(browser, number="4915550002", number_match="exact")
    link = reply.headers["Location"]
    page = browser.get(link)
    addresses = [link, *re.findall(r'(?:href|src|action)="([^"]+)"', page.get_data(as_text=True))]
    sealed = link.partition("?q=")[2]
    raw = base64.urlsafe_b64decode(sealed + "=" * (-len(sealed) % 4))
    assert b"4915550002" not in raw
    assert b"number" not in raw
    logged = "\n".join([caplog.text, *(str(vars(record)) for record in caplog.records)])
    assert [text for text in (*addresses, logged) if "4915550002" in text or "0002" in text] == []


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"number": "12a4"}, "number must be a telephone number"),
        ({"number": "123", "number_match": "suffix"}, "number has 3 digits: give at least 4"),
        ({"number": "1234", "number_match": "like"}, "use exact, prefix, suffix"),
        ({"state": "lost"}, "'lost' is no state: use pending"),
        ({"since": "yesterday"}, "is no point in time: write 2026-11-22"),
        ({"since": "2026-11-23", "until": "2026-11-20"}, "must be before until"),
        ({"min_seconds": "-1"}, "give seconds from 0 to 86400"),
        ({"direction": "up"}, "use inbound, outbound"),
        ({"flow": "x" * 1001}, "at most 1000 characters"),
        ({"stat": "failed"}, "There is no filter 'stat'"),
        (dict.fromkeys(("conversation", "application"), "\N{GRINNING FACE}" * 900), "too long to be searched for"),
    ],
)
def test_a_search_with_bad_input_says_what_is_right_and_keeps_what_was_typed(site, fields, sentence):
    typed = {"flow": "voicemail", "number": "5550001"} | fields
    reply = search_for(site.browser(Role.VIEWER), **typed)
    assert reply.status_code == 400
    assert sentence in text_of(reply)
    page = reply.get_data(as_text=True)
    assert 'role="alert"' in page
    for name in ("number", "flow"):
        assert f'value="{typed[name]}"' in page


@pytest.mark.parametrize(
    "fields",
    [
        {"since": "99999d"},
        {"until": "2199-12-30"},
        {"since": "2199-12-31T23:59:59.999999"},
        {"conversation": "\N{LATIN SMALL LETTER E WITH ACUTE}" * 900},
        {"storage": "x" * 1000, "flow": "y" * 1000, "conversation": "z" * 1000, "application": "a" * 1000},
    ],
)
def test_whatever_may_be_searched_for_has_a_link_that_can_be_opened(site, fields):
    browser = site.browser(Role.VIEWER)
    assert "No recording fits" in text_of(found_by(browser, **fields))


@pytest.mark.parametrize("link", ["", "x", "gAAAAABn", "a" * 20_000, "%00", "%F0%9F%98%80", "eyJmaWx0ZXIiOnt9fQ.x"])
def test_a_link_that_is_damaged_is_a_400_that_says_what_to_do(site, link):
    reply = site.browser(Role.VIEWER).get(f"/recordings?q={link}")
    assert reply.status_code == 400
    assert "Open the list of recordings, and search again" in text_of(reply)


def test_a_link_with_a_cursor_of_another_list_is_a_400(site):
    browser = site.browser(Role.VIEWER)
    links = Links(lambda: site.deployment.wiring.people.key("pages"))
    with site.deployment.app.test_request_context("/"):
        link = links.to(Place(cursor="of-another-list"))
    reply = browser.get(link)
    assert reply.status_code == 400
    assert "Open the list of recordings, and search again" in text_of(reply)


@pytest.mark.parametrize("query", ["number=0001", "state=failed", "q=&cursor=x"])
def test_a_filter_that_is_typed_into_the_address_is_refused_and_not_ignored(site, query):
    reply = site.browser(Role.VIEWER).get(f"/recordings?{query}")
    assert reply.status_code == 400
    assert "A filter does not stand in an address here" in text_of(reply)


def test_a_form_that_was_not_sent_from_the_page_is_refused(site):
    reply = site.browser(Role.VIEWER).post("/recordings", number="0001")
    assert reply.status_code == 400
    assert "This form is too old" in text_of(reply)


def test_what_others_have_written_is_shown_and_not_obeyed(site):
    site.call("<script>alert(1)</script>")
    page = site.browser(Role.VIEWER).get("/recordings").get_data(as_text=True)
    assert "<script>" not in page
    assert "&lt;script&gt;" in page


def test_a_listener_plays_in_the_list_what_is_stored_and_a_viewer_does_not(site):
    stored, due = site.call(), site.call(stored=False)
    heard = site.browser(Role.LISTENER).get("/recordings").get_data(as_text=True)
    assert f'<audio controls preload="none" src="{stored}/audio"' in heard
    assert f"{due}/audio" not in heard
    assert "<audio" not in site.browser(Role.VIEWER).get("/recordings").get_data(as_text=True)


def test_an_open_page_asks_anew_more_often_while_something_moves(site):
    site.call()
    browser = site.browser(Role.VIEWER)
    assert 'data-refresh="15"' in browser.get("/recordings").get_data(as_text=True)
    moving = site.call(stored=False)
    for path in ("/recordings", moving):
        assert 'data-refresh="3"' in browser.get(path).get_data(as_text=True)
    problem = browser.post("/recordings", browser.token("/recordings"), number="12", number_match="suffix")
    assert problem.status_code == 400
    assert "data-refresh" not in problem.get_data(as_text=True), "a form that was not taken stays as it was filled in"
