"""What holds for every page: who sees it, what it loads, how it is built, and the overview's one sentence."""

from __future__ import annotations

import gzip
import hashlib
import re
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from itertools import pairwise

import pytest
from sqlalchemy import update

from recordings.access import Role
from recordings.catalogue import stats
from recordings.catalogue.tables import copies, recordings
from recordings.model import State
from tests.test_house import ROOT

from .browser import PASSWORD, SCRIPT, Browser
from .site import Site, found_by, links_of, text_of

VENDORS = [ROOT / "console/static/vendor", ROOT / "tests/browser/vendor"]


def pages(site):
    """The address of each page."""
    lists = ["/", "/recordings", "/attention", "/deliveries", "/activity", "/system"]
    piles = [f"/attention/{kind}" for kind in ("blocked", "failed", "missing", "conflicts", "refused")]
    return [*lists, *piles, site.call(), site.call(stored=False), "/deliveries/1"]


def loaded(browser, path):
    """The bytes of a file that a page loads."""
    with browser.get(path) as reply:
        assert reply.status_code == 200
        return reply.data


# --- The door ---------------------------------------------------------------------------------------------------------


PATHS = [
    *("/", "/recordings", "/recordings/1", "/recordings/1/audio", "/recordings/1/download"),
    *("/attention", "/attention/failed", "/deliveries", "/deliveries/1", "/activity", "/system"),
]


@pytest.mark.parametrize("path", [*PATHS, "/static/tapekeeper.css"])
def test_no_page_is_there_unless_the_console_is_set_up(deploy, path):
    assert deploy().client.get(path).status_code == 404


@pytest.mark.parametrize("path", PATHS)
def test_a_stranger_is_sent_to_sign_in_and_then_back(deploy, path):
    browser = Browser(deploy(CONSOLE_PASSWORD=PASSWORD))
    reply = browser.get(path)
    assert (reply.status_code, reply.headers["Location"]) == (302, "/login")
    assert browser.sign_in().headers["Location"] == path


@pytest.mark.parametrize("path", PATHS)
def test_a_catalogue_that_is_away_is_a_plain_page(deploy, tmp_path, path):
    (tmp_path / "folder.db").mkdir()
    client = deploy(CONSOLE_PASSWORD=PASSWORD, DATABASE_URL=f"sqlite:///{tmp_path}/folder.db").client
    reply = client.get(path)
    assert (reply.status_code, reply.mimetype) == (503, "text/html")
    assert "The database cannot be reached" in text_of(reply)


# --- How the pages are built ------------------------------------------------------------------------------------------


class Outline(HTMLParser):
    """The elements of a page, in order, and the fields that no label names."""

    def __init__(self, page):
        super().__init__()
        self.elements, self.unlabelled, self._in_label, self._labelled = [], [], 0, set()
        self._labelled = set(re.findall(r'<label for="([^"]+)"', page))
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        facts = dict(attrs)
        self.elements.append((tag, facts))
        self._in_label += tag == "label"
        is_field = tag in ("select", "textarea") or (tag == "input" and facts.get("type") != "hidden")
        if is_field and not self._in_label and facts.get("id") not in self._labelled:
            self.unlabelled.append(facts)

    def handle_endtag(self, tag):
        self._in_label -= tag == "label"


def test_every_page_has_a_language_a_title_one_first_heading_labels_and_a_skip_link(site):
    browser = site.browser(Role.OPERATOR)
    for path in pages(site):
        page = browser.get(path).get_data(as_text=True)
        outline = Outline(page)
        tags = [tag for tag, _ in outline.elements]
        assert '<html lang="en">' in page
        assert re.search(r"<title>.+ · Tapekeeper</title>", page)
        assert tags.count("h1") == tags.count("main") == 1
        levels = [int(tag[1]) for tag in tags if re.fullmatch(r"h[1-6]", tag)]
        assert all(lower <= upper + 1 for upper, lower in pairwise(levels))
        assert outline.unlabelled == []
        ids = [facts["id"] for _, facts in outline.elements if "id" in facts]
        assert len(ids) == len(set(ids))
        assert "content" in ids
        assert next(facts["href"] for tag, facts in outline.elements if tag == "a") == "#content"
        named = {
            name for _, facts in outline.elements for name in facts if name in ("aria-labelledby", "aria-describedby")
        }
        for _, facts in outline.elements:
            assert all(facts[name] in ids for name in named & facts.keys())


def test_no_page_has_a_script_or_a_style_of_its_own_or_loads_from_elsewhere(site):
    browser = site.browser(Role.OPERATOR)
    for path in (*pages(site), "/nothing"):
        reply = browser.get(path)
        page = reply.get_data(as_text=True)
        assert not re.search(r"<script|<style|\sstyle=|\son\w+=|javascript:", re.sub(SCRIPT, "", page))
        assert not re.search(r'(?:href|src|action)="(?!/|#)', page)
        assert reply.headers["Content-Security-Policy"].count("nonce") == 2 * page.count("nonce=")
        for file in re.findall(r'<link [^>]*href="([^"]+)"', page) + re.findall(SCRIPT, page):
            assert loaded(browser, file)


def test_the_first_page_is_light(site):
    browser = site.browser(Role.OPERATOR)
    page = browser.get("/")
    text = page.get_data(as_text=True)
    files = re.findall(r'<link [^>]*href="([^"]+)"', text) + re.findall(SCRIPT, text)
    assert len(page.data) + sum(len(loaded(browser, path)) for path in files) < 150 * 1024


def test_a_page_below_a_public_path_links_below_it(deploy, vonage):
    site = Site(deploy(RECORDING_HOSTS=vonage.origin, PUBLIC_URL="https://calls.example/tapes"), vonage)
    page = site.call()
    shown = site.browser(Role.OPERATOR).get(page).get_data(as_text=True)
    assert not re.search(r'(?:href|src|action)="/(?!tapes/)', shown)


def test_style_sheets_and_scripts_are_compressed_for_whoever_takes_that_and_pages_are_not(site):
    browser, taken = site.browser(Role.VIEWER), {"Accept-Encoding": "gzip"}
    for name in ("tapekeeper.css", "app.js", "vendor/pico.min.css", "vendor/wavesurfer.esm.js", "icon.svg"):
        file = f"/static/{name}"
        with browser.get(file, headers=taken) as small, browser.get(file) as plain:
            assert gzip.decompress(small.data) == plain.data
            assert "Content-Encoding" not in plain.headers
            assert "Accept-Encoding" in set(small.vary) & set(plain.vary)
            known = {"If-None-Match": small.headers["ETag"]}
        with browser.get(file, headers=taken | known) as same:
            assert same.status_code == 304
    assert "Content-Encoding" not in browser.get("/", headers=taken).headers


@pytest.mark.parametrize("vendor", VENDORS, ids=["pages", "browser tests"])
def test_files_of_others_are_as_they_were_published(vendor):
    lines = (vendor / "SHA256SUMS").read_text().splitlines()
    sums = {name: digest for digest, name in (line.split("  ") for line in lines)}
    files = {path.name for path in vendor.iterdir()} - {"SHA256SUMS"}
    assert sums.keys() == files
    for name, digest in sums.items():
        assert hashlib.sha256((vendor / name).read_bytes()).hexdigest() == digest, name


def test_the_pages_are_there_on_postgres_too(deploy, vonage, postgres_url):
    site = Site(deploy(RECORDING_HOSTS=vonage.origin, DATABASE_URL=postgres_url), vonage)
    browser = site.browser(Role.OPERATOR)
    for path in pages(site):
        assert browser.get(path).status_code == 200
    assert links_of(browser.get("/"), "in 29 days") == ["/recordings/2"]
    assert "1-2 of 2" in text_of(found_by(browser, number="0001", number_match="suffix"))


# --- The overview -----------------------------------------------------------------------------------------------------


def test_the_overview_says_that_all_is_well_and_how_much_there_is(site):
    site.call()
    site.deployment.wiring.workers.sign()
    site.deployment.wiring.serving.readiness.start()
    text = text_of(site.browser(Role.VIEWER).get("/"))
    assert "All is well" in text or "has just started" in text
    assert "need a hand" not in text.replace("nothing needs a hand", "")
    assert re.search(r"Workers seen within the last minute 1\b", text)
    assert "None: no copy is waiting to be stored" in text
    assert re.search(r"file://\S+/recordings 0 0 0 0 0 1 [\d.]+ (bytes|KiB|MiB)", text)


def test_the_overview_counts_a_call_that_has_just_come(site):
    browser = site.browser(Role.VIEWER)
    stats.write_figures(site.deployment.wiring.database)
    site.call()
    text = text_of(browser.get("/"))
    assert "Recordings 1" in text
    assert "no recording has come yet" not in text


def test_the_overview_of_an_empty_catalogue_says_what_to_do_first(site, until):
    site.deployment.wiring.workers.sign()
    browser = site.browser(Role.VIEWER)
    until(lambda: "has just started" not in text_of(browser.get("/")), "all parts were looked at")
    reply = browser.get("/")
    assert "no recording has come yet" in text_of(reply)
    assert links_of(reply, "See what to do first") == ["/recordings"]


@pytest.mark.parametrize(
    ("state", "fact", "advice"),
    [
        (State.FAILED, "1 copy has failed.", "They are not tried again by themselves."),
        (State.BLOCKED, "1 copy is blocked.", "only a person can mend it"),
    ],
)
def test_the_overview_says_what_needs_a_hand_and_leads_there(site, state, fact, advice):
    site.deployment.wiring.workers.sign()  # that no worker lives would be a need, too
    page = site.call(stored=False)
    site.call()
    with site.deployment.wiring.database.write() as connection:
        connection.execute(
            update(copies).where(copies.c.state == State.PENDING.value).values(state=state.value, due_at=None)
        )
        connection.execute(
            update(recordings).where(recordings.c.state == State.PENDING.value).values(state=state.value)
        )
    browser = site.browser(Role.VIEWER)
    reply = browser.get("/")
    assert "1 thing needs a hand" in text_of(reply)
    assert fact in text_of(reply)
    assert advice in text_of(reply)
    (link,) = links_of(reply, "Show these recordings")
    shown = browser.get(link).get_data(as_text=True)
    assert re.findall(r'href="(/recordings/\d+)"', shown) == [page]


def test_the_overview_names_the_recording_that_vonage_deletes_next(site):
    soon = datetime.now(UTC) - timedelta(days=28)
    late = site.call(stored=False)
    page = site.call(stored=False, start_time=soon, end_time=soon, timestamp=soon)
    with site.deployment.wiring.database.write() as connection:
        connection.execute(
            update(recordings).where(recordings.c.id == int(page.rpartition("/")[2])).values(received_at=soon)
        )
    reply = site.browser(Role.VIEWER).get("/")
    assert "1 copy is not stored, and Vonage deletes its recording in less than 3 days" in text_of(reply)
    assert links_of(reply, "in 47 hours") == [page]
    assert late not in reply.get_data(as_text=True)


def test_why_a_part_cannot_be_used_is_told_to_operators_alone(site, until, tmp_path):
    storage = site.deployment.wiring.storages
    for url in list(storage):
        storage[url].check = lambda: (_ for _ in ()).throw(RuntimeError("the bucket secret-bucket is not there"))
    viewer, operator = site.browser(Role.VIEWER), site.browser(Role.OPERATOR)
    until(lambda: "The storage 1 cannot be used" in text_of(viewer.get("/")), "the storage was looked at")
    assert "secret-bucket" in text_of(operator.get("/"))
    assert "secret-bucket" not in viewer.get("/").get_data(as_text=True)
    assert "An operator of this console sees why" in text_of(viewer.get("/"))
