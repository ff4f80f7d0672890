"""Every page in a browser: it shuts nobody out, fits the screen, is there in light and in dark, and loads quickly."""

from __future__ import annotations

from pathlib import Path

import pytest

from recordings.access import Role

from .served import weight

VENDOR = Path(__file__).parent / "vendor"
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
WIDE, NARROW = {"width": 1440, "height": 900}, {"width": 390, "height": 844}
MOST_BYTES = 150 * 1024


def pages(served, page):
    """The address of each page: those that the navigation names, and one recording in each state that is shown."""
    named = page.locator("nav[aria-label=Main] a").evaluate_all("(links) => links.map((link) => link.pathname)")
    assert {"/", "/recordings"} <= set(named)
    return [*named, served.rows["split"], served.rows["failed"]]


def everything_open(page):
    """Open what a person may open, and wait for the waveform where there is one."""
    page.evaluate("document.querySelectorAll('main details').forEach((details) => { details.open = true; })")
    if page.locator(".player[data-waveform]").count():
        page.locator(".wave canvas").first.wait_for()


def violations(page):
    """What axe finds wrong, in short. It is evaluated, since the page's own policy lets no stranger's script in."""
    page.evaluate((VENDOR / "axe.min.js").read_text() + "; undefined")
    result = page.evaluate("(rules) => axe.run(document, { runOnly: rules, preload: false })", RULES)
    return [(found["id"], [node["html"][:200] for node in found["nodes"]]) for found in result["violations"]]


@pytest.mark.parametrize(
    ("scheme", "size"), [("light", WIDE), ("dark", NARROW)], ids=["light and wide", "dark, narrow"]
)
def test_nobody_is_shut_out_and_nothing_is_cut_off(served, visit, scheme, size):
    page = visit("/", Role.ADMIN, color_scheme=scheme, viewport=size)
    for address in pages(served, page):
        page.goto(address)
        everything_open(page)
        assert violations(page) == [], address
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), f"{address} is cut off"
        background = page.evaluate("getComputedStyle(document.documentElement).backgroundColor")
        assert (background == "rgb(255, 255, 255)") == (scheme == "light"), address


@pytest.mark.parametrize("size", [WIDE, NARROW], ids=["wide", "narrow"])
def test_the_sign_in_page_shuts_nobody_out(visit, size):
    page = visit("/login", None, viewport=size)
    assert violations(page) == []
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_a_first_visit_to_any_page_loads_less_than_150_kib(served, visit):
    addresses = pages(served, visit("/", Role.ADMIN))
    weights = {address: weight(visit("about:blank", Role.ADMIN), address) for address in addresses}
    print("bytes on the first load:", weights)
    assert max(weights.values()) < MOST_BYTES, weights


def test_times_are_in_the_readers_zone_and_utc_is_at_hand(served, visit):
    page = visit(served.rows["mono"], Role.VIEWER, timezone_id="Asia/Tokyo")
    shown = page.locator("h1 time")
    utc = shown.get_attribute("title")
    assert utc.endswith(" UTC")
    hours = (int(shown.inner_text()[11:13]) - int(utc[11:13])) % 24
    assert hours == 9
