"""The inbox: what came, by outcome, in pages; one delivery with its raw body; taken in once more, and adopted."""

from __future__ import annotations

import re

import pytest

from recordings.access import Role
from recordings.catalogue.quotas import Worth
from recordings.model import Delivery
from tests.console.site import Site, links_of, text_of

from .signed import RIGHT, WRONG, event, post


def refuse(site, body=b"{}", query=""):
    """A delivery that looks like Vonage's was refused; the address of its page."""
    delivery = Delivery("recordings", "POST", query, "application/json", body)
    token = "Bearer eyJhbGciOiJIUzI1NiJ9.eyJhIjoxfQ.c2lnbmF0dXJl"
    site.deployment.wiring.inbox.keep_refused(delivery, token, "The signature is bad.", Worth.RECORDING)
    return f"/deliveries/{max(stored.id for stored in site.deployment.wiring.inbox.listing())}"


def numbers(reply):
    """The deliveries that a list shows, in its order."""
    return [int(row) for row in re.findall(r'href="/deliveries/(\d+)"', reply.get_data(as_text=True))]


def test_the_list_shows_what_came_newest_first_and_what_it_led_to(site):
    page = site.call()
    refuse(site)
    reply = site.browser(Role.VIEWER).get("/deliveries")
    assert numbers(reply) == [2, 1]
    assert "Refused The signature is bad." in text_of(reply)
    assert f'href="{page}"' in reply.get_data(as_text=True)


def test_the_list_is_filtered_by_outcome(site):
    site.call()
    refuse(site)
    browser = site.browser(Role.VIEWER)
    page = browser.get("/deliveries")
    shown = {name: numbers(browser.get(links_of(page, name)[0])) for name in ("New", "Refused", "Conflict")}
    assert shown == {"New": [1], "Refused": [2], "Conflict": []}
    assert "There are no such deliveries." in text_of(browser.get(links_of(page, "Conflict")[0]))


def test_pages_follow_one_another_without_a_gap(site):
    for _ in range(53):
        refuse(site)
    browser = site.browser(Role.VIEWER)
    first = browser.get("/deliveries")
    second = browser.get(links_of(first, "Older")[0])
    assert numbers(first) + numbers(second) == list(range(53, 0, -1))
    assert not links_of(second, "Older")
    assert links_of(second, "Newest") == ["/deliveries"]


def test_an_empty_inbox_says_the_next_step(site):
    assert "Nothing has come yet" in text_of(site.browser(Role.VIEWER).get("/deliveries"))


@pytest.mark.parametrize("query", ["outcome=refused", "q=x", "q=", "q=" + "a" * 9000, "before=3"])
def test_what_is_typed_into_the_address_is_a_400(site, query):
    reply = site.browser(Role.VIEWER).get(f"/deliveries?{query}")
    assert reply.status_code == 400


def test_a_link_of_another_list_is_a_400(site):
    browser = site.browser(Role.OPERATOR)
    found = browser.post("/activity", browser.token("/activity"), person="anna").headers["Location"]
    reply = browser.get(found.replace("/activity", "/deliveries"))
    assert reply.status_code == 400
    assert "search again" in text_of(reply)


def test_the_raw_body_is_for_operators_and_its_secrets_are_masked(site):
    path = refuse(site, b'{"number": "447700900777", "password": "open-sesame-12345"}', "api_key=abcdef123456")
    seen = site.browser(Role.OPERATOR).get(path).get_data(as_text=True)
    assert "447700900777" in seen
    for secret in ("open-sesame-12345", "abcdef123456", "eyJhbGciOiJIUzI1NiJ9"):
        assert secret not in seen
    for role in (Role.VIEWER, Role.LISTENER):
        page = site.browser(role).get(path)
        assert page.status_code == 200
        assert "447700900777" not in page.get_data(as_text=True)
        assert "api_key" not in page.get_data(as_text=True)
        assert "you need the role operator" in text_of(page)


BODIES = {
    "none": b"",
    "control characters": b"\xff\x00\x1b[2J",
    "a script": b"<script>alert(1)</script>",
    "open brackets": b"[" * 5000,
    "a long one": b"x" * 70_000,
    "JSON that names half a character, and one that turns the line round": b'{"a": "\\ud800", "b": "\\u202e"}',
    "a number of many digits": b"1" * 5000,
}


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
def test_any_body_is_shown_and_not_obeyed(site, body):
    reply = site.browser(Role.OPERATOR).get(refuse(site, body))
    assert reply.status_code == 200
    page = reply.get_data(as_text=True)
    assert "<script>" not in page  # the page's own scripts are files
    assert not {"\x1b", "\x00", "\u202e"} & set(page)


def test_a_body_whose_indents_would_be_long_does_not_make_a_long_page(site):
    body = b"[" * 300 + b"1," * 30_000 + b"1" + b"]" * 300
    page = site.browser(Role.OPERATOR).get(refuse(site, body)).get_data()
    assert b"1,1,1" in page
    assert len(page) < 100_000


@pytest.mark.parametrize("path", ["", "/replay", "/adopt"])
@pytest.mark.parametrize("row", ["7", "0", "x", "9223372036854775808"])
def test_a_delivery_that_is_not_kept_is_a_404(site, row, path):
    browser = site.browser(Role.OPERATOR)
    url = f"/deliveries/{row}{path}"
    reply = browser.post(url, browser.token("/recordings")) if path else browser.get(url)
    assert reply.status_code == 404
    assert "There is no" in text_of(reply)


# --- Orders -----------------------------------------------------------------------------------------------------------


def test_a_refused_delivery_is_replayed_once_the_secret_is_mended(deploy):
    wrong = Site(deploy(VONAGE_SIGNATURE_SECRET=WRONG), None)
    assert post(wrong.deployment, event()) == 401
    browser = wrong.browser(Role.OPERATOR)
    still = browser.post("/deliveries/1/replay", browser.token("/deliveries/1"))
    assert still.status_code == 409
    assert "That could not be done. The signature of delivery 1 is still not valid" in text_of(still)
    right = Site(deploy(VONAGE_SIGNATURE_SECRET=RIGHT), None)
    browser = right.browser(Role.OPERATOR)
    done = browser.post("/deliveries/1/replay", browser.token("/deliveries/1"))
    assert (done.status_code, done.headers["Location"]) == (303, "/deliveries/1")
    assert "The outcome of this delivery was refused; now it is new." in text_of(browser.get("/deliveries/1"))
    assert right.noted("replay") == [("operator", None)] * 2
    again = browser.post("/deliveries/1/replay", browser.token("/deliveries/1"))
    assert again.status_code == 303
    assert "The outcome of this delivery was new; now it is repeat." in text_of(browser.get("/deliveries/1"))


def test_a_conflict_is_adopted_and_nothing_else_is(deploy, vonage):
    site = Site(deploy(VONAGE_SIGNATURE_SECRET=RIGHT, RECORDING_HOSTS=vonage.origin), vonage)
    file, fields = vonage.add_file(), event()
    post(site.deployment, fields | {"recording_url": "https://files.example/nowhere"})
    site.deployment.work()
    post(site.deployment, fields | {"recording_url": file.url, "size": file.size})
    browser = site.browser(Role.OPERATOR)
    assert "Adopt its address" not in browser.get("/deliveries/1").get_data(as_text=True)
    assert browser.post("/deliveries/1/adopt", browser.token("/deliveries/1")).status_code == 409
    assert "Adopt its address" in browser.get("/deliveries/2").get_data(as_text=True)
    assert browser.post("/deliveries/2/adopt", browser.token("/deliveries/2")).status_code == 303
    assert "The outcome of this delivery was conflict; now it is adopted." in text_of(browser.get("/deliveries/2"))
    site.deployment.work()
    assert "Stored" in text_of(browser.get("/recordings/1"))
    page = browser.get("/deliveries/2")
    assert "Adopt its address" not in page.get_data(as_text=True)
    assert "Its address cannot be adopted: the audio of the recording is in a storage already" in text_of(page)
    late = browser.post("/deliveries/2/adopt", browser.token("/deliveries/2"))
    assert late.status_code == 409
    assert "is stored already" in text_of(late)
    assert site.noted("adopt") == [("operator", 1)] * 3


@pytest.mark.parametrize("what", ["replay", "adopt"])
@pytest.mark.parametrize("role", [Role.VIEWER, Role.LISTENER])
def test_nobody_below_an_operator_replays_or_adopts(site, role, what):
    path = refuse(site)
    browser = site.browser(role)
    assert "Replay" not in text_of(browser.get(path))
    assert browser.post(f"{path}/{what}", browser.token("/recordings")).status_code == 403
    assert site.noted("replay") == site.noted("adopt") == []


@pytest.mark.parametrize("what", ["replay", "adopt"])
def test_an_order_that_was_not_sent_from_the_page_is_refused(site, what):
    path = refuse(site)
    browser = site.browser(Role.OPERATOR)
    assert browser.post(f"{path}/{what}").status_code == 400
    assert browser.get(f"{path}/{what}").status_code == 405
    assert site.noted("replay") == site.noted("adopt") == []
