"""What needs attention: each pile with its mend, and an order for a whole pile that names its number and asks first."""

from __future__ import annotations

import re

import pytest
from sqlalchemy import event as sql_event
from sqlalchemy import insert, select, update

from recordings.access import Role
from recordings.catalogue.tables import calls, copies, recordings
from recordings.clock import utc_now
from recordings.model import State
from tests.console.site import Site, links_of, text_of

from .signed import RIGHT, WRONG, event, post

KINDS = ("blocked", "failed", "missing", "conflicts", "refused")


def put_into(site, state, error="The bucket is not there: make it."):
    """Every copy that is pending is in this state, and so is its recording."""
    pending = copies.c.state == State.PENDING.value
    with site.deployment.wiring.database.write() as connection:
        connection.execute(update(copies).where(pending).values(state=state.value, due_at=None, error=error))
        its = recordings.c.state == State.PENDING.value
        connection.execute(update(recordings).where(its).values(state=state.value))


def states(site):
    with site.deployment.wiring.database.read() as connection:
        return sorted(connection.scalars(select(copies.c.state)))


def lose_calls(site, number):
    """So many calls were told to record and brought no recording."""
    row = {"application_id": "a", "direction": "inbound", "flow": "voicemail", "expectation": "missing"}
    row |= {"answered_at": utc_now(), "missing_at": utc_now(), "from_number": "447700900555"}
    rows = [row | {"conversation_key": f"m{i}", "conversation_uuid": f"CON-m{i}"} for i in range(number)]
    with site.deployment.wiring.database.write() as connection:
        connection.execute(insert(calls), rows)


def form_of(reply):
    """The hidden fields of the form that asks."""
    return dict(re.findall(r'name="(\w+)" value="([^"]*)"', reply.get_data(as_text=True).partition("<main")[2]))


def order(browser, kind, **changes):
    """Press the button of this pile's page; the reply."""
    fields = form_of(browser.get(f"/attention/{kind}")) | changes
    return browser.post(f"/attention/{kind}", **fields)


def test_with_nothing_to_do_each_pile_says_so(site):
    browser = site.browser(Role.VIEWER)
    text = text_of(browser.get("/attention"))
    assert "Nothing needs attention." in text
    for words in ("No copy is blocked.", "No copy has failed.", "No call lacks its recording."):
        assert words in text
    for kind in KINDS:
        assert browser.get(f"/attention/{kind}").status_code == 200


@pytest.mark.parametrize(
    ("state", "fact", "mend"),
    [
        (State.BLOCKED, "2 blocked copies", "only a person can mend it"),
        (State.FAILED, "2 failed copies", "not tried again by itself"),
    ],
)
def test_copies_are_tried_again_all_at_once_by_an_order_that_names_their_number(site, state, fact, mend):
    site.call(stored=False)
    site.call(stored=False)
    put_into(site, state)
    browser = site.browser(Role.OPERATOR)
    text = text_of(browser.get("/attention"))
    for words in (fact, mend, "2 copies : The bucket is not there: make it."):
        assert words in text
    asks = browser.get(f"/attention/{state.value}")
    assert "Try these 2 again?" in text_of(asks)
    assert "Yes, try these 2 again" in text_of(asks)
    assert links_of(asks, "Show these recordings")
    reply = order(browser, state.value)
    assert (reply.status_code, reply.headers["Location"]) == (303, "/attention")
    assert f"{fact} are due now" in text_of(browser.get("/attention"))
    assert states(site) == ["pending", "pending"]
    assert site.noted("retry") == [("operator", None)]
    assert site.deployment.wiring.leases.claim_next() is not None


def test_an_order_does_not_touch_what_came_after_it_was_asked(site):
    site.call(stored=False)
    put_into(site, State.FAILED)
    browser = site.browser(Role.OPERATOR)
    fields = form_of(browser.get("/attention/failed"))
    site.call(stored=False)
    put_into(site, State.FAILED)
    browser.post("/attention/failed", **fields)
    assert states(site) == ["failed", "pending"]


def test_a_thousand_copies_are_tried_again_in_few_statements(site):
    with site.deployment.wiring.database.write() as connection:
        row = {"application_id": "a", "recording_url": "x", "received_at": utc_now(), "origin": "voice"}
        row |= {"empty": False, "state": "failed", "conversation_uuid": "c", "conversation_key": "c"}
        connection.execute(insert(recordings), [row | {"recording_uuid": f"r{i}", "id": i + 1} for i in range(1000)])
        copy = {"storage": "s", "state": "failed", "attempts": 3}
        connection.execute(insert(copies), [copy | {"recording_id": i + 1} for i in range(1000)])
    browser = site.browser(Role.OPERATOR)
    fields = form_of(browser.get("/attention/failed"))
    assert fields["number"] == "1000"
    statements = []
    engine = site.deployment.wiring.database.engine

    def count(connection, cursor, statement, *more):
        statements.append(statement.split()[0].upper())

    sql_event.listen(engine, "before_cursor_execute", count)
    browser.post("/attention/failed", **fields)
    sql_event.remove(engine, "before_cursor_execute", count)
    assert states(site) == ["pending"] * 1000
    assert statements.count("UPDATE") <= 6
    assert len(statements) < 50


def test_missing_calls_are_shown_and_set_aside(site):
    lose_calls(site, 3)
    browser = site.browser(Role.OPERATOR)
    shown = text_of(browser.get("/attention/missing"))
    for words in ("3 calls without a recording", "447700900555", "CON-m0", "Set these 3 aside?"):
        assert words in shown
    order(browser, "missing")
    assert "3 calls without a recording are set aside." in text_of(browser.get("/attention"))
    assert site.deployment.wiring.missing.count() == 0
    assert site.noted("set aside") == [("operator", None)]
    assert "brought no recording" not in text_of(browser.get("/"))


def test_refused_deliveries_are_taken_in_once_the_secret_is_mended(deploy):
    wrong = deploy(VONAGE_SIGNATURE_SECRET=WRONG)
    assert [post(wrong, event()) for _ in range(2)] == [401, 401]
    browser = Site(wrong, None).browser(Role.OPERATOR)
    assert "2 refused deliveries" in text_of(browser.get("/attention"))
    reply = order(browser, "refused")
    text = text_of(browser.get(reply.headers["Location"]))
    assert "0 refused deliveries are taken in. 2 could not be; for one of them this is why:" in text
    assert "VONAGE_SIGNATURE_SECRET" in text
    right = Site(deploy(VONAGE_SIGNATURE_SECRET=RIGHT), None)
    browser = right.browser(Role.OPERATOR)
    reply = order(browser, "refused")
    assert reply.headers["Location"] == "/attention"
    assert "2 refused deliveries are taken in." in text_of(browser.get("/attention"))
    assert "1-2 of 2" in text_of(browser.get("/recordings"))


def test_what_a_stranger_sends_needs_no_hand(site):
    assert site.deployment.client.post("/webhooks/recordings", data=b"hello").status_code in (401, 503)
    assert site.deployment.wiring.webhook_context.refused.wait(10)
    browser = site.browser(Role.VIEWER)
    assert "Nothing needs attention." in text_of(browser.get("/attention"))
    assert "1 refused" not in text_of(browser.get("/"))


def test_conflicts_are_adopted_where_the_first_address_brought_nothing(deploy, vonage):
    site = Site(deploy(VONAGE_SIGNATURE_SECRET=RIGHT, RECORDING_HOSTS=vonage.origin), vonage)
    file, fields = vonage.add_file(), event()
    assert post(site.deployment, fields | {"recording_url": "https://files.example/nowhere"}) == 204
    site.deployment.work()
    assert post(site.deployment, fields | {"recording_url": file.url, "size": file.size}) == 204
    browser = site.browser(Role.OPERATOR)
    assert "1 conflict" in text_of(browser.get("/attention"))
    assert "There is 1 conflict" in text_of(browser.get("/"))
    order(browser, "conflicts")
    assert "1 conflict is adopted" in text_of(browser.get("/attention"))
    site.deployment.work()
    assert states(site) == ["stored"]
    assert site.noted("adopt") == [("operator", None)]
    assert "No recording waits for another address." in text_of(browser.get("/attention"))


def test_a_conflict_needs_no_hand_while_one_copy_is_stored_though_another_has_failed(deploy, vonage, tmp_path):
    urls = " ".join(f"file://{tmp_path}/{name}" for name in ("one", "two"))
    settings = {"VONAGE_SIGNATURE_SECRET": RIGHT, "RECORDING_HOSTS": vonage.origin, "STORAGE_URL": urls}
    site = Site(deploy(**settings), vonage)
    file, fields = vonage.add_file(), event()
    post(site.deployment, fields | {"recording_url": file.url, "size": file.size})
    leases = site.deployment.wiring.leases
    site.deployment.look_at(1)
    leases.failed(leases.claim(2), "the bucket is gone")
    assert states(site) == ["failed", "stored"]
    post(site.deployment, fields | {"recording_url": "https://files.example/other"})
    browser = site.browser(Role.OPERATOR)
    assert "No recording waits for another address." in text_of(browser.get("/attention"))
    assert "Adopt" not in browser.get("/deliveries/2").get_data(as_text=True)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("role", [Role.VIEWER, Role.LISTENER])
def test_nobody_below_an_operator_gives_an_order(site, role, kind):
    site.call(stored=False)
    put_into(site, State.FAILED)
    browser = site.browser(role)
    page = browser.get("/attention/failed")
    assert "To give an order you need the role operator" in text_of(page)
    assert "<form" not in page.get_data(as_text=True).partition("<main")[2]
    reply = browser.post(f"/attention/{kind}", browser.token("/recordings"), number="1", upto="9", after="0")
    assert reply.status_code == 403
    assert states(site) == ["failed"]
    assert site.noted("retry") == []


@pytest.mark.parametrize(
    "changes",
    [{"number": "0"}, {"number": "-1"}, {"number": "many"}, {"upto": ""}, {"upto": "9" * 30}, {"after": "٣"}],
)
def test_a_form_that_is_not_whole_is_a_400_and_nothing_is_done(site, changes):
    site.call(stored=False)
    put_into(site, State.FAILED)
    browser = site.browser(Role.OPERATOR)
    reply = order(browser, "failed", **changes)
    assert reply.status_code == 400
    assert "press the button there" in text_of(reply)
    assert states(site) == ["failed"]
    assert site.noted("retry") == []


def test_an_order_that_was_not_sent_from_the_page_is_refused(site):
    browser = site.browser(Role.OPERATOR)
    assert browser.post("/attention/failed", number="1", upto="1", after="0").status_code == 400


@pytest.mark.parametrize("path", ["/attention/lost", "/attention/", "/attention/failed/1"])
def test_a_pile_that_is_none_is_a_404(site, path):
    assert site.browser(Role.OPERATOR).get(path).status_code == 404


def test_a_secret_in_an_error_is_masked(site):
    site.call(stored=False)
    put_into(site, State.FAILED, error="The store said no to sig=abcdefgh12345678secret")
    page = site.browser(Role.VIEWER).get("/attention").get_data(as_text=True)
    assert "abcdefgh12345678secret" not in page
    assert "The store said no" in page
