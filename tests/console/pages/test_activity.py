"""The audit as people read it: searched by person, time, recording and action, in pages, and as a file."""

from __future__ import annotations

import csv
import io

import pytest

from recordings.access import Action, Actor, Role
from tests.console.site import links_of, text_of

ANNA = Actor("anna@example.com", Role.LISTENER, "203.0.113.7", "account")


def note(site, actor=ANNA, action=Action.DOWNLOAD, row=None, detail=""):
    site.deployment.wiring.people.audit.note(actor, action, recording_id=row, detail=detail)


def find(browser, **fields):
    """The page with what this search finds."""
    reply = browser.post("/activity", browser.token("/activity"), **fields)
    assert reply.status_code == 303, text_of(reply)
    return browser.get(reply.headers["Location"])


def export(browser, **fields):
    """The rows of the exported file, without its headings."""
    reply = browser.post("/activity/export", browser.token("/activity"), **fields)
    assert (reply.status_code, reply.mimetype) == (200, "text/csv")
    assert "attachment" in reply.headers["Content-Disposition"]
    return list(csv.DictReader(io.StringIO(reply.get_data(as_text=True))))


def test_an_entry_says_who_did_what_when_from_where_and_to_which_recording(site):
    page = site.call()
    note(site, row=int(page.rpartition("/")[2]))
    reply = site.browser(Role.OPERATOR).get("/activity")
    assert "anna@example.com (account) download 203.0.113.7" in text_of(reply)
    assert f'href="{page}"' in reply.get_data(as_text=True)


def test_the_activity_is_found_by_person_time_recording_and_action(site):
    page = site.call()
    row = int(page.rpartition("/")[2])
    uuid = site.deployment.objects("recordings", "list")[0]["recording_uuid"]
    note(site, row=row)
    note(site, Actor("ben", Role.OPERATOR, None, "command"), Action.RETRY)
    browser = site.browser(Role.OPERATOR)
    by_person = text_of(find(browser, person="Anna@Example.com"))
    assert "anna@example.com (account)" in by_person
    assert "ben (command)" not in by_person
    assert "ben (command) retry a shell" in text_of(find(browser, action="retry"))
    assert "anna@example.com" in text_of(find(browser, recording=uuid))
    assert "ben (command)" not in text_of(find(browser, recording=uuid))
    assert "Nobody did such a thing." in text_of(find(browser, until="2020-01-01"))
    assert "ben (command)" in text_of(find(browser, since="2020-01-01", until="2099-12-31"))


def test_a_recordings_page_leads_to_all_that_people_did_with_it(site):
    page = site.call()
    note(site, row=int(page.rpartition("/")[2]))
    browser = site.browser(Role.OPERATOR)
    (link,) = links_of(browser.get(page), "All that people did with it")
    assert "anna@example.com (account) download" in text_of(browser.get(link))
    assert links_of(site.browser(Role.LISTENER).get(page), "All that people did with it") == []


def test_pages_follow_one_another_without_a_gap_and_keep_the_search(site):
    for number in range(53):
        note(site, detail=f"entry {number}.")
    browser = site.browser(Role.OPERATOR)
    first = find(browser, person=ANNA.name)
    second = browser.get(links_of(first, "Older")[0])
    shown = text_of(first) + text_of(second)
    assert [shown.count(f"entry {number}.") for number in range(53)] == [1] * 53
    assert not links_of(second, "Older")
    assert text_of(browser.get(links_of(second, "Newest")[0])).count("entry ") == 50


def test_the_export_holds_what_was_found_and_is_noted_itself(site):
    note(site, detail="=1+1")
    note(site, Actor("ben", Role.OPERATOR, None, "command"))
    browser = site.browser(Role.OPERATOR)
    (row,) = export(browser, person=ANNA.name)
    assert (row["person"], row["action"], row["address"]) == (ANNA.name, "download", ANNA.address)
    assert row["detail"] == "'=1+1"
    assert {row["person"] for row in export(browser)} >= {ANNA.name, "ben", "operator"}
    assert site.noted("export") == [("operator", None)] * 2
    details = [entry.detail for entry in site.deployment.wiring.people.audit.entries(action="export")]
    assert details == ["the whole audit", "the audit, by person"]


@pytest.mark.parametrize("role", [Role.VIEWER, Role.LISTENER])
def test_nobody_below_an_operator_sees_what_people_do(site, role):
    browser = site.browser(role)
    assert links_of(browser.get("/"), "Activity") == []
    assert browser.get("/activity").status_code == 403
    token = browser.token("/recordings")
    assert browser.post("/activity", token, person="anna").status_code == 403
    assert browser.post("/activity/export", token).status_code == 403
    assert site.noted("export") == []


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"person": "two words"}, "A name has 1 to 100 characters"),
        ({"action": "look"}, "write one of play, download"),
        ({"since": "yesterday"}, "is no point in time: write 2026-11-22"),
        ({"since": "2026-11-23", "until": "2026-11-20"}, "must not be after the last day"),
        ({"recording": "unknown"}, "There is no recording with this id"),
        ({"recording": "x" * 400}, "at most 300 characters"),
        ({"persona": "anna"}, "There is no field 'persona'"),
    ],
)
def test_a_search_with_bad_input_says_what_is_right_and_keeps_what_was_typed(site, fields, sentence):
    browser = site.browser(Role.OPERATOR)
    typed = {"person": "anna"} | fields
    reply = browser.post("/activity", browser.token("/activity"), **typed)
    assert reply.status_code == 400
    assert sentence in text_of(reply)
    assert f'value="{typed["person"]}"' in reply.get_data(as_text=True)
    refused = browser.post("/activity/export", browser.token("/activity"), **typed)
    assert refused.status_code == 400
    assert site.noted("export") == []


@pytest.mark.parametrize("query", ["person=anna", "q=x", "q="])
def test_what_is_typed_into_the_address_is_a_400(site, query):
    assert site.browser(Role.OPERATOR).get(f"/activity?{query}").status_code == 400


def test_no_name_stands_in_an_address(site):
    note(site)
    browser = site.browser(Role.OPERATOR)
    reply = browser.post("/activity", browser.token("/activity"), person=ANNA.name)
    page = browser.get(reply.headers["Location"]).get_data(as_text=True)
    assert "anna" not in reply.headers["Location"]
    assert "anna@example.com" in page
    assert "?person" not in page


def test_a_form_that_was_not_sent_from_the_page_is_refused(site):
    browser = site.browser(Role.OPERATOR)
    assert browser.post("/activity", person="anna").status_code == 400
    assert browser.post("/activity/export").status_code == 400
    assert site.noted("export") == []
