"""The page of one recording: who may hear it and who may have it tried again, what is noted, and stores that fail."""

from __future__ import annotations

import shutil
import threading
import time
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from recordings.access import Role
from recordings.model import CallEvent, Delivery, State

from .site import text_of


def objects(site):
    root = Path(urlsplit(site.deployment.wiring.settings.storage_url[0]).path)
    return [path for path in root.rglob("*.mp3") if path.is_file()]


def test_the_page_shows_the_call_the_copy_and_its_life(site):
    page = site.call()
    reply = site.browser(Role.LISTENER).get(page)
    text = text_of(reply)
    for words in ("From 447700900001", "To 447700900000", "Flow call", "The storage has confirmed", "SHA-256"):
        assert words in text
    for words in ("The recording began", "Vonage announced the recording", "Stored file://"):
        assert words in text.partition("What happened")[2]
    assert f'<audio controls preload="none" src="{page}/audio">' in reply.get_data(as_text=True)


def test_a_listener_hears_and_downloads_and_both_are_noted(site):
    page = site.call()
    row = int(page.rpartition("/")[2])
    (stored,) = objects(site)
    browser = site.browser(Role.LISTENER)
    heard = browser.get(f"{page}/audio", headers={"Range": "bytes=0-9"})
    assert (heard.status_code, heard.data) == (206, stored.read_bytes()[:10])
    assert browser.get(f"{page}/audio").data == stored.read_bytes()
    assert site.noted("play") == [("listener", row)]
    assert site.noted("download") == []
    file = browser.get(f"{page}/download")
    assert file.data == stored.read_bytes()
    assert "attachment; filename=" in file.headers["Content-Disposition"]
    assert site.noted("download") == [("listener", row)]


def measure(site):
    while site.deployment.wiring.waveforms.make_next():
        pass


@pytest.mark.parametrize("channels", [1, 2])
def test_the_page_draws_the_waveform_once_it_is_made_and_to_look_at_it_is_not_to_listen(site, channels):
    page = site.call(channels=channels)
    browser = site.browser(Role.LISTENER)
    missing = browser.get(f"{page}/waveform")
    assert missing.status_code == 404
    assert "a worker makes it after archiving" in text_of(missing)
    assert "data-waveform" not in browser.get(page).get_data(as_text=True)
    measure(site)
    assert f'data-waveform="{page}/waveform"' in browser.get(page).get_data(as_text=True)
    drawn = browser.get(f"{page}/waveform").json
    assert drawn["channels"] == len(drawn["peaks"]) == channels
    assert drawn["duration"] == pytest.approx(8.6, abs=0.3)
    assert all(0 <= peak <= 1 for lane in drawn["peaks"] for peak in lane)
    assert site.noted("play") == []


@pytest.mark.parametrize("path", ["audio", "download"])
def test_what_cannot_be_noted_is_not_played(site, path):
    page = site.call()
    browser = site.browser(Role.LISTENER)
    database = site.deployment.wiring.database
    with database.write() as connection:
        connection.exec_driver_sql(
            "CREATE TRIGGER full BEFORE INSERT ON audit BEGIN SELECT RAISE(ABORT, 'disk full'); END"
        )
    reply = browser.get(f"{page}/{path}")
    assert reply.status_code >= 500
    assert reply.mimetype == "text/html"


def test_a_viewer_sees_the_page_and_hears_nothing(site):
    page = site.call()
    browser = site.browser(Role.VIEWER)
    reply = browser.get(page)
    assert "<audio" not in reply.get_data(as_text=True)
    assert "you need the role listener; yours is viewer" in text_of(reply)
    measure(site)
    for path in (f"{page}/audio", f"{page}/download", f"{page}/waveform"):
        refused = browser.get(path)
        assert refused.status_code == 403
        assert "This needs the role listener" in text_of(refused)
    assert site.noted("play") == site.noted("download") == []


@pytest.mark.parametrize("path", ["", "/audio", "/download", "/waveform"])
@pytest.mark.parametrize("row", ["1", "9223372036854775807", "9223372036854775808", "0", "-1", "x", "1" * 400])
def test_a_recording_that_is_not_there_is_a_404(site, row, path):
    reply = site.browser(Role.LISTENER).get(f"/recordings/{row}{path}")
    assert reply.status_code == 404
    assert "There is no" in text_of(reply) or "There is nothing" in text_of(reply)


# --- What operators see and do ----------------------------------------------------------------------------------------


def test_only_operators_see_who_listened_and_what_vonage_sent(site):
    page = site.call()
    listener, operator = site.browser(Role.LISTENER), site.browser(Role.OPERATOR)
    listener.get(f"{page}/audio")
    seen, unseen = text_of(operator.get(page)), text_of(listener.get(page))
    assert "listener listened from 127.0.0.1" in seen
    assert "As Vonage sent it Delivery 1, new" in seen
    assert "listened" not in unseen
    assert "As Vonage sent it" not in unseen


def test_an_operator_has_a_failed_recording_tried_again_and_it_is_stored(site):
    page = site.call(stored=False, recording_url=f"{site.vonage.origin}/v1/files/nothing")
    row = int(page.rpartition("/")[2])
    site.deployment.work()
    browser = site.browser(Role.OPERATOR)
    text = text_of(browser.get(page))
    assert "After 1 attempt, the last error was:" in text
    assert "1 copy is not stored." in text
    reply = browser.post(f"{page}/retry", browser.token(page))
    assert (reply.status_code, reply.headers["Location"]) == (303, page)
    text = text_of(browser.get(page))
    assert "1 copy is due now" in text
    assert "operator had it tried again" in text
    assert "1 copy is due now" not in text_of(browser.get(page)), "it is said once"
    assert site.noted("retry") == [("operator", row)]
    assert site.deployment.wiring.leases.claim_next() is not None


def test_the_life_of_a_recording_holds_every_attempt_that_failed_with_its_error(site):
    page = site.call(stored=False, recording_url=f"{site.vonage.origin}/v1/files/nothing")
    browser = site.browser(Role.OPERATOR)
    for _ in range(2):
        site.deployment.work()
        browser.post(f"{page}/retry", browser.token(page))
    life = text_of(browser.get(page)).partition("What happened")[2]
    assert life.index("Attempt 1 did not succeed, and left the copy waiting") < life.index("Attempt 2 did not succeed")
    assert life.count("Vonage has no such file (404)") == 2


def test_an_attempt_from_before_all_were_noted_is_shown_still(site):
    page = site.call(stored=False, recording_url=f"{site.vonage.origin}/v1/files/nothing")
    site.deployment.work()
    with site.deployment.wiring.database.write() as connection:
        connection.exec_driver_sql("DELETE FROM attempts")
    life = text_of(site.browser(Role.OPERATOR).get(page)).partition("What happened")[2]
    assert "Attempt 1 did not succeed" in life
    assert "Vonage has no such file (404)" in life


def test_the_events_of_two_legs_of_a_call_are_told_apart(site):
    page = site.call(conversation_uuid="CON-1", stored=False)
    delivery = Delivery("events", "POST", "", "application/json", b"{}", "the-application", True)
    for leg in ("caller", "callee", "caller"):
        site.deployment.wiring.intake.accept(delivery, [CallEvent("answered", ("CON-1",), leg)])
    life = text_of(site.browser(Role.VIEWER).get(page)).partition("What happened")[2]
    assert [life.count(f"Call: answered leg {leg} of 2") for leg in (1, 2)] == [2, 1]


def test_what_is_stored_has_nothing_to_try_again(site):
    page = site.call()
    browser = site.browser(Role.OPERATOR)
    assert "Try again" not in browser.get(page).get_data(as_text=True)
    browser.post(f"{page}/retry", browser.token(page))
    assert "There was nothing to try again" in text_of(browser.get(page))


@pytest.mark.parametrize("role", [Role.VIEWER, Role.LISTENER])
def test_nobody_below_an_operator_has_a_recording_tried_again(site, role):
    page = site.call(stored=False)
    browser = site.browser(role)
    assert "Try again" not in browser.get(page).get_data(as_text=True)
    assert browser.post(f"{page}/retry", browser.token(page)).status_code == 403
    assert site.noted("retry") == []


def test_a_retry_that_was_not_sent_from_the_page_is_refused(site):
    page = site.call(stored=False)
    browser = site.browser(Role.OPERATOR)
    assert browser.post(f"{page}/retry").status_code == 400
    assert browser.get(f"{page}/retry").status_code == 405
    assert site.noted("retry") == []


def test_a_secret_in_what_vonage_sent_is_masked(site):
    page = site.call()
    with site.deployment.wiring.database.write() as connection:
        connection.exec_driver_sql(
            "UPDATE deliveries SET body = ?", (b'{"Authorization": "Bearer abcdefghijklmnopqrstuvwxyz012345"}',)
        )
    assert "abcdefghijklm" not in site.browser(Role.OPERATOR).get(page).get_data(as_text=True)


# --- Stores that fail -------------------------------------------------------------------------------------------------


def test_a_vanished_object_is_said_on_the_page_with_what_is_left_to_do(site):
    page = site.call()
    for path in objects(site):
        path.unlink()
    browser = site.browser(Role.LISTENER)
    reply = browser.get(page)
    assert reply.status_code == 200
    assert "It cannot be heard now" in text_of(reply)
    assert "flask recordings verify --repair" in text_of(reply)
    assert "<audio" not in reply.get_data(as_text=True)
    gone = browser.get(f"{page}/download")
    assert (gone.status_code, gone.mimetype) == (404, "text/html")
    assert "The audio is not in the storage any more" in text_of(gone)


def test_of_two_copies_the_good_one_is_heard(deploy, vonage, tmp_path):
    from .site import Site

    urls = [f"file://{tmp_path}/{name}" for name in ("one", "two")]
    site = Site(deploy(RECORDING_HOSTS=vonage.origin, STORAGE_URL=" ".join(urls)), vonage)
    page = site.call()
    shutil.rmtree(tmp_path / "one")
    (tmp_path / "one").mkdir()
    browser = site.browser(Role.LISTENER)
    assert "The audio is not in the storage any more" in text_of(browser.get(page))
    assert "<audio" in browser.get(page).get_data(as_text=True)
    assert browser.get(f"{page}/audio").status_code == 200


class Hanging:
    """A store that does not answer until the test ends."""

    def __init__(self, until):
        self._until = until

    def head(self, key):
        self._until.wait(30)

    def get(self, key, start=0, end=None):
        self._until.wait(30)
        yield b""

    def close(self):
        self._until.set()


class Broken(Hanging):
    def head(self, key):
        raise ConnectionError("secret-host is down")

    get = head


@pytest.mark.parametrize(
    ("backend", "sentence"),
    [(Hanging, "The storage does not answer just now"), (Broken, "The storage cannot be asked just now")],
)
def test_a_store_that_hangs_or_is_down_leaves_the_page_quick(site, backend, sentence):
    page = site.call()
    browser = site.browser(Role.LISTENER)
    storages, answers = site.deployment.wiring.storages, threading.Event()
    for url in list(storages):
        storages[url].close()
        storages[url] = backend(answers)
    began = time.monotonic()
    reply = browser.get(page)
    assert time.monotonic() - began < 1.5
    answers.set()
    assert reply.status_code == 200
    assert sentence in text_of(reply)
    assert "secret-host" not in reply.get_data(as_text=True)
    assert "From 447700900001" in text_of(reply)


def test_a_copy_in_a_storage_that_is_not_configured_any_more_is_said(deploy, vonage, tmp_path):
    from .site import Site

    page = Site(deploy(RECORDING_HOSTS=vonage.origin), vonage).call()
    later = Site(deploy(STORAGE_URL=f"file://{tmp_path}/new"), vonage)
    assert "This storage is not in STORAGE_URL any more" in text_of(later.browser(Role.LISTENER).get(page))


def test_a_recording_without_audio_says_so(site):
    event, _ = site.deployment.announce(recording_url="", size=0)
    text = text_of(site.browser(Role.LISTENER).get(f"/recordings/{site.row(event)}"))
    assert f"{State.EMPTY.value.capitalize()} Nothing was recorded." in text
    assert "There is nothing to hear yet" in text
