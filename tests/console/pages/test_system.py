"""What the deployment is made of: storages with their last check, workers, plugins, masked settings, findings."""

from __future__ import annotations

import re
import threading
import time

import pytest

from recordings.access import Role
from tests.console.site import Site, text_of


def test_everybody_sees_whether_each_part_can_be_used_and_when_it_was_looked_at(site, until):
    site.deployment.wiring.workers.sign()
    browser = site.browser(Role.VIEWER)
    until(lambda: "Not looked at yet" not in text_of(browser.get("/system")), "each part was looked at")
    text = text_of(browser.get("/system"))
    assert re.search(r"Storage file://\S+/recordings Good \d+ s ago", text)
    assert re.search(r"Database Good \d+ s ago", text)
    assert re.search(r", \d+ Lives 20", text)
    assert "Tapekeeper 0." in text
    assert "SQLite, schema 0" in text


def test_without_a_worker_the_page_says_how_to_start_one(site):
    assert "Start one: flask worker" in text_of(site.browser(Role.VIEWER).get("/system"))


def test_why_a_storage_cannot_be_used_is_for_operators(site, until):
    for url, backend in site.deployment.wiring.storages.items():
        backend.check = lambda: (_ for _ in ()).throw(RuntimeError("the bucket secret-bucket is not there"))
        assert url
    viewer, operator = site.browser(Role.VIEWER), site.browser(Role.OPERATOR)
    until(lambda: "Cannot be used" in text_of(viewer.get("/system")), "the storage was looked at")
    assert "secret-bucket" in text_of(operator.get("/system"))
    assert "secret-bucket" not in viewer.get("/system").get_data(as_text=True)


def test_a_store_that_hangs_leaves_the_page_quick(site):
    answers = threading.Event()
    for backend in site.deployment.wiring.storages.values():
        backend.check = lambda: answers.wait(30)
    browser = site.browser(Role.OPERATOR)
    began = time.monotonic()
    reply = browser.get("/system")
    assert time.monotonic() - began < 1.5
    answers.set()
    assert reply.status_code == 200
    assert "Not looked at yet" in text_of(reply)


def test_settings_and_plugins_are_for_operators_and_secrets_are_masked(deploy, vonage):
    secret = "a-signature-secret-that-nobody-may-read"
    changes = {"VONAGE_SIGNATURE_SECRET": secret, "NOTIFY_URLS": "json://user:hunter22@127.0.0.1/"}
    site = Site(deploy(RECORDING_HOSTS=vonage.origin, FORWARD_TO="447700900123", **changes), vonage)
    seen = site.browser(Role.OPERATOR).get("/system")
    text = text_of(seen)
    assert f"VONAGE_SIGNATURE_SECRET = *** ({len(secret)} characters)" in text
    assert "FORWARD_TO = 447700900123" in text
    assert "local" in text
    assert "register_storage_backends" in text
    assert re.search(r"Python 3\.\d+\.\d+", text)
    for hidden in (secret, "hunter22", "BEGIN PRIVATE KEY"):
        assert hidden not in seen.get_data(as_text=True)
    for role in (Role.VIEWER, Role.LISTENER):
        unseen = site.browser(role).get("/system").get_data(as_text=True)
        for hidden in (secret, "447700900123", "register_storage_backends", "FORWARD_TO"):
            assert hidden not in unseen


def test_what_the_settings_alone_tell_is_there_at_once(site):
    text = text_of(site.browser(Role.OPERATOR).get("/system"))
    assert "Warning hosts : RECORDING_HOSTS gives the token to" in text
    assert "Remove it where real calls are recorded." in text


def test_an_operator_has_everything_looked_at(site, until):
    site.deployment.wiring.workers.sign()
    browser = site.browser(Role.OPERATOR)
    reply = browser.post("/system/examine", browser.token("/system"))
    assert (reply.status_code, reply.headers["Location"]) == (303, "/system#findings")
    until(lambda: "All of it, at" in text_of(browser.get("/system")), "everything was looked at")
    text = text_of(browser.get("/system"))
    assert "65536 bytes written, read, compared and deleted" in text
    assert site.noted("examine") == [("operator", None)]


def test_what_was_found_is_shown_by_every_web_process(site, deploy, vonage, until):
    browser = site.browser(Role.OPERATOR)
    other = Site(deploy(RECORDING_HOSTS=vonage.origin), vonage).browser(Role.OPERATOR)
    browser.post("/system/examine", browser.token("/system"))
    until(lambda: "All of it, at" in text_of(other.get("/system")), "everything was looked at")
    assert "65536 bytes written, read, compared and deleted" in text_of(other.get("/system"))


@pytest.mark.parametrize("role", [Role.VIEWER, Role.LISTENER])
def test_nobody_below_an_operator_has_everything_looked_at(site, role):
    browser = site.browser(role)
    assert "Look at everything now" not in text_of(browser.get("/system"))
    assert browser.post("/system/examine", browser.token("/system")).status_code == 403
    assert site.noted("examine") == []


def test_an_order_that_was_not_sent_from_the_page_is_refused(site):
    browser = site.browser(Role.OPERATOR)
    assert browser.post("/system/examine").status_code == 400
    assert browser.get("/system/examine").status_code == 405
    assert site.noted("examine") == []
