"""Nothing is handed out or ordered by any route of the app without an entry in the audit; nothing leaks to a role.

The routes are read from the app itself, so a new one is tested by being there.
"""

from __future__ import annotations

import logging
import re

import pytest
from sqlalchemy import select

from recordings.access import Role
from recordings.catalogue.quotas import Worth
from recordings.catalogue.tables import audit
from recordings.model import Delivery
from tests.console.site import text_of

NUMBER = "447700900888"
SECRET = "eyJhbGciOiJIUzI1NiJ9.eyJqdGkiOiJuZXZlciJ9.c2VjcmV0LXNpZ25hdHVyZQ"
# Searches: their answer is a link to a page. They order nothing.
SEARCHES = {"pages.find", "pages.find_activity"}
VALUES = {"row_id": 1, "kind": "failed"}
REFUSED = 2  # the delivery with the number and the token
FIELDS = {"number": "1", "upto": "1", "after": "0"}


@pytest.fixture
def busy(site):
    """A recorded call, and two refused deliveries, the first with a token and a number in it."""
    site.call(NUMBER)
    delivery = Delivery("recordings", "POST", f"from={NUMBER}&api_key=k3y-of-the-app", "application/json", b"{}")
    body = f'{{"from": "{NUMBER}", "Authorization": "Bearer {SECRET}"}}'.encode()
    for words in (body, b"{}"):
        refused = Delivery(delivery.route, delivery.method, delivery.query, delivery.content_type, words)
        site.deployment.wiring.inbox.keep_refused(refused, f"Bearer {SECRET}", "The signature is bad.", Worth.RECORDING)
    return site


def routes(site, method):
    """(endpoint, path) of every page's route that takes this method."""
    adapter = site.deployment.app.url_map.bind("localhost")
    for rule in site.deployment.app.url_map.iter_rules():
        if rule.endpoint.startswith("pages.") and rule.endpoint != "pages.static" and method in (rule.methods or ()):
            of_delivery = "/deliveries/" in rule.rule
            values = {name: REFUSED if of_delivery else VALUES[name] for name in rule.arguments}
            yield rule.endpoint, adapter.build(rule.endpoint, values, method=method)


def entries(site):
    with site.deployment.wiring.database.read() as connection:
        return [row._mapping for row in connection.execute(select(audit).order_by(audit.c.id))]


def hands_out(reply):
    """Whether a reply holds audio, or a file."""
    return reply.mimetype.startswith("audio/") or "attachment" in reply.headers.get("Content-Disposition", "")


def test_whatever_is_handed_out_is_noted_with_who_and_what(busy):
    browser = busy.browser(Role.OPERATOR)
    handed_out = {}
    for endpoint, path in routes(busy, "GET"):
        before = len(entries(busy))
        reply = browser.get(path)
        assert reply.status_code < 500, path
        new = entries(busy)[before:]
        if hands_out(reply):
            handed_out[endpoint] = [(row["person"], row["action"], row["recording_id"]) for row in new]
        else:
            assert new == [], f"{endpoint} shows a page, which is not noted"
    assert handed_out == {
        "pages.audio": [("operator", "play", 1)],
        "pages.download": [("operator", "download", 1)],
    }


def test_whatever_is_ordered_is_noted_with_who(busy, until):
    browser = busy.browser(Role.OPERATOR)
    ordered = set()
    for endpoint, path in routes(busy, "POST"):
        before = len(entries(busy))
        token = browser.token("/system")
        reply = browser.post(path, token, **({} if endpoint in SEARCHES | {"pages.export_activity"} else FIELDS))
        new = entries(busy)[before:]
        if endpoint in SEARCHES:
            assert reply.status_code == 303
            assert new == []
        else:
            assert [row["person"] for row in new] == ["operator"], endpoint
            ordered.add((endpoint, new[0]["action"]))
    until(lambda: not busy.deployment.wiring.serving.examination.runs, "the examination has ended")
    assert ordered == {
        ("pages.retry", "retry"),
        ("pages.order_attention", "retry"),
        ("pages.replay", "replay"),
        ("pages.adopt", "adopt"),
        ("pages.export_activity", "export"),
        ("pages.examine", "examine"),
    }


def test_what_cannot_be_noted_is_not_done(busy):
    browser = busy.browser(Role.OPERATOR)
    token = browser.token("/system")
    with busy.deployment.wiring.database.write() as connection:
        connection.exec_driver_sql(
            "CREATE TRIGGER full BEFORE INSERT ON audit BEGIN SELECT RAISE(ABORT, 'disk full'); END"
        )
    for endpoint, path in routes(busy, "POST"):
        if endpoint not in SEARCHES:
            fields = {} if endpoint == "pages.export_activity" else FIELDS
            assert browser.post(path, token, **fields).status_code >= 500, endpoint
    for path in ("/recordings/1/audio", "/recordings/1/download"):
        reply = browser.get(path)
        assert reply.status_code >= 500
        assert not hands_out(reply)


def test_who_only_sees_is_handed_nothing(busy):
    browser = busy.browser(Role.VIEWER)
    for endpoint, path in routes(busy, "GET"):
        assert not hands_out(browser.get(path)), endpoint
    for endpoint, path in routes(busy, "POST"):
        if endpoint != "pages.find":
            assert browser.post(path, browser.token("/recordings"), **FIELDS).status_code == 403, endpoint


@pytest.mark.parametrize("role", [Role.VIEWER, Role.LISTENER, Role.OPERATOR])
def test_no_secret_is_on_any_page_and_no_number_or_name_in_any_address_or_log_line(busy, role, caplog):
    caplog.set_level(logging.DEBUG)
    browser = busy.browser(role)
    caplog.clear()
    for endpoint, path in routes(busy, "GET"):
        reply = browser.get(path)
        if reply.mimetype != "text/html":
            continue
        page = reply.get_data(as_text=True)
        for secret in (SECRET, SECRET.rpartition(".")[2], "k3y-of-the-app"):
            assert secret not in page, endpoint
        addresses = re.findall(r'(?:href|src|action)="([^"]+)"', page)
        assert [address for address in addresses if NUMBER in address or "888" in address] == []
    logged = "\n".join([caplog.text, *(str(vars(record)) for record in caplog.records)])
    assert NUMBER not in logged
    assert SECRET not in logged


def test_what_vonage_sent_is_on_no_page_of_those_who_only_see_and_hear(busy):
    for role in (Role.VIEWER, Role.LISTENER):
        browser = busy.browser(role)
        for endpoint, path in routes(busy, "GET"):
            if endpoint.startswith("pages.deliver"):
                assert NUMBER not in text_of(browser.get(path)), endpoint
    browser = busy.browser(Role.OPERATOR)
    assert NUMBER in text_of(browser.get(f"/deliveries/{REFUSED}"))
