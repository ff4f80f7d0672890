"""A browser that runs no script: people sign in, find, hear, download and mend all the same."""

from __future__ import annotations

import hashlib

import pytest

from recordings.access import Action

from .served import CALLER, sign_in

PLAY_BUTTON = {"x": 25, "y": 25}  # of the browser's own player


@pytest.fixture
def page(visit):
    """A page without scripts, of somebody who has signed in by the form."""
    opened = visit("/login", None, java_script_enabled=False)
    sign_in(opened, "operator")
    return opened


def heard(served, until, name, times):
    """Wait until the operator was noted so often as a listener of this recording: its audio was asked for."""
    until(lambda: served.noted(Action.PLAY, served.rows[name]).count("operator") >= times, f"{name} is heard", 60)


def test_a_call_is_found_and_heard_and_downloaded(served, page, until):
    page.goto("/recordings")
    page.locator("summary", has_text="Search").click()
    page.get_by_label("Number", exact=False).first.fill(CALLER[-4:])
    page.get_by_role("button", name="Search").click()
    page.locator("tbody th a").click()
    assert page.get_by_role("button", name="+10 s").count() == 0, "what needs a script is not shown"
    with page.expect_response("**/audio"):
        page.locator("audio").click(position=PLAY_BUTTON)
    heard(served, until, "split", 1)
    with page.expect_download() as coming:
        page.get_by_role("link", name="Download").click()
    content = coming.value.path().read_bytes()
    (copy,) = served.found(served.uuids["split"]).recording.copies
    assert hashlib.sha256(content).hexdigest() == copy.sha256


def test_a_recording_is_heard_in_the_list(served, page, until):
    page.goto("/recordings")
    row = page.locator(f"#recording-{served.rows['ogg'].rpartition('/')[2]}")
    row.get_by_text("Play").click()
    with page.expect_response("**/audio"):
        row.locator("audio").click(position=PLAY_BUTTON | {"y": 18})
    heard(served, until, "ogg", 1)


def test_a_failed_recording_is_tried_again(served, page):
    address = served.fail("without-scripts")
    page.goto(address)
    page.get_by_text("Try again", exact=True).click()
    page.get_by_role("button", name="Try it again now").click()
    page.get_by_text("1 copy is due now").wait_for()
    served.wait_measured("without-scripts")
    page.reload()
    page.locator("main > p .state-stored").wait_for()
