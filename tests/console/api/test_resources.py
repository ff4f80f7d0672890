"""The other resources: missing calls, deliveries, storages, figures, the audit, accounts and tokens."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import update

from recordings.access import Role
from recordings.catalogue.tables import calls
from recordings.model import Call
from tests.console.browser import OTHER, PASSWORD, Browser
from tests.console.site import CALLED

from .conftest import refusal


def follow(program, path, name, **query):
    """All rows of a list, two a page."""
    rows, cursor = [], None
    while True:
        page = program.get(path, query_string=query | {"limit": 2} | ({"cursor": cursor} if cursor else {})).get_json()
        rows += page[name]
        cursor = page["next_cursor"]
        if cursor is None:
            return rows


# --- Missing calls ----------------------------------------------------------------------------------------------------


def lose_calls(api, number):
    """So many calls were told to record, and brought nothing."""
    wiring = api.deployment.wiring
    for place in range(number):
        call = Call(
            f"CON-{place}", None, f"44770090000{place}", CALLED, flow="call", format="mp3", channels=1, records=True
        )
        wiring.intake.note_call(call, "the-application")
    with wiring.database.write() as connection:
        connection.execute(update(calls).values(expectation="missing", missing_at=datetime.now(UTC)))


def test_calls_without_a_recording_are_listed_newest_first_in_pages(api, admin):
    lose_calls(api, 3)
    rows = follow(admin, "/calls/missing", "calls")
    assert [row["from"] for row in rows] == ["447700900002", "447700900001", "447700900000"]
    assert rows == api.deployment.objects("recordings", "missing")[::-1]
    assert follow(admin, "/calls/missing", "calls", since="1h") == rows
    assert admin.get("/calls/missing", headers={"If-None-Match": "*"}).status_code == 304


# --- Deliveries -------------------------------------------------------------------------------------------------------


def test_deliveries_are_listed_newest_first_and_shown_whole(api, admin):
    row_ids = [api.record(stored=False) for _ in range(3)]
    rows = follow(admin, "/deliveries", "deliveries")
    assert rows == api.deployment.objects("deliveries", "list")
    uuid = admin.get(f"/recordings/{row_ids[0]}").get_json()["recording_uuid"]
    (row,) = follow(admin, "/deliveries", "deliveries", recording_uuid=uuid, outcome="new", since="1h")
    assert admin.get(f"/deliveries/{row['id']}").get_json() == row | {"body": "{}"}
    assert follow(admin, "/deliveries", "deliveries", outcome="refused") == []


def test_the_raw_words_of_a_delivery_are_for_operators_alone(api):
    api.record(stored=False)
    viewer, operator = api.program(Role.VIEWER), api.program(Role.OPERATOR)
    (row,), (whole,) = (follow(program, "/deliveries", "deliveries") for program in (viewer, operator))
    assert (row["query"], whole["query"]) == (None, "flow=call")
    assert viewer.get(f"/deliveries/{row['id']}").get_json()["body"] is None
    assert operator.get(f"/deliveries/{row['id']}").get_json()["body"] == "{}"


def test_what_looks_like_a_secret_in_a_delivery_is_masked(api, admin):
    api.deployment.client.post("/webhooks/events?token=very-secret-1", json={"password": "very-secret-2"})
    (row,) = follow(admin, "/deliveries", "deliveries")
    whole = admin.get(f"/deliveries/{row['id']}").get_json()
    assert "very-secret" not in f"{row}{whole}"


def test_a_delivery_is_replayed_by_an_operator_and_noted(api, deploy):
    operator = api.program(Role.OPERATOR)
    event = {"recording_uuid": "r", "conversation_uuid": "CON-1", "recording_url": "https://api.nexmo.com/v1/files/x"}
    unsigned = deploy(ALLOW_UNSIGNED_WEBHOOKS="true")
    assert unsigned.client.post("/webhooks/recordings", json=event).status_code == 204
    (row,) = follow(operator, "/deliveries", "deliveries")
    assert operator.post(f"/deliveries/{row['id']}/replay").get_json() == {"before": "new", "outcome": "repeat"}
    assert api.noted("replay") == [(operator.name, 1)]


def test_a_delivery_that_still_cannot_be_used_is_a_409_that_says_why(api, admin):
    api.record(stored=False)  # its delivery has no fields
    assert "recording_uuid" in refusal(admin.post("/deliveries/1/replay"), 409)


@pytest.mark.parametrize(("method", "path"), [("GET", "/deliveries/9"), ("POST", "/deliveries/9/replay")])
def test_a_delivery_that_is_not_kept_is_a_404(api, admin, method, path):
    assert "There is no delivery 9" in refusal(admin.ask(method, path), 404)
    assert api.noted("replay") == []


@pytest.mark.parametrize(
    ("path", "sentence"),
    [
        ("/deliveries?outcome=lost", "Use one of new, repeat"),
        ("/deliveries?cursor=0", "cursor"),
        ("/deliveries?cursor=9223372036854775808", "cursor"),
        ("/deliveries?since=x", "2026-11-22"),
        ("/deliveries?recording_uuid=%00", "without control characters"),
        ("/deliveries?limit=1000", "limit"),
        ("/deliveries?number=1", "no such parameter"),
        ("/calls/missing?cursor=x", "cursor"),
        ("/calls/missing?until=1d", "no such parameter"),
        ("/activity?person=anna", "no such parameter"),
        ("/activity?cursor=x", "next_cursor"),
        ("/activity?action=sing", "Use one of play"),
        ("/activity?recording_id=0", "recording_id"),
        ("/storages?x=1", "takes no parameters"),
        ("/figures?x=1", "takes no parameters"),
        ("/accounts?x=1", "takes no parameters"),
        ("/openapi.json?x=1", "takes no parameters"),
    ],
)
def test_what_is_wrong_in_an_address_is_named_with_what_is_right(admin, path, sentence):
    assert sentence in refusal(admin.get(path), 400)


# --- Storages and figures ---------------------------------------------------------------------------------------------


def test_storages_say_what_is_in_them_and_operators_what_is_wrong(deploy, api, tmp_path, until):
    api.record()
    blocked = tmp_path / "blocked"
    blocked.write_text("a file where a folder belongs")
    changed = type(api)(deploy(STORAGE_URL=f"file://{blocked}"), api.vonage)
    operator, viewer = changed.program(Role.OPERATOR), changed.program(Role.VIEWER)
    until(lambda: operator.get("/storages").get_json()["storages"][0]["usable"] is False, "the storage was looked at")
    broken, former = operator.get("/storages").get_json()["storages"]
    assert (broken["storage"], broken["configured"], former["configured"]) == (f"file://{blocked}", True, False)
    assert "move it away" in broken["problem"]
    assert (former["copies"]["stored"], former["usable"], former["problem"]) == (1, None, None)
    assert former["stored_bytes"] > 0
    seen = viewer.get("/storages").get_json()["storages"][0]
    assert (seen["usable"], "move it away" in seen["problem"]) == (False, False)


def test_figures_tell_how_much_there_is_and_what_needs_attention(api, admin):
    api.record()
    waiting = api.record(stored=False)
    figures = admin.get("/figures").get_json()
    assert (figures["recordings"], figures["copies"]["stored"], figures["copies"]["pending"]) == (2, 1, 1)
    assert figures["next_deletion"]["id"] == waiting
    assert set(figures["troubles"]) == {"idle", "nearing", "blocked", "failed", "missing"}
    deletion = datetime.fromisoformat(figures["next_deletion"]["at"])
    assert timedelta(days=29) < deletion - datetime.now(UTC) <= timedelta(days=30)


# --- The audit --------------------------------------------------------------------------------------------------------


def test_the_audit_is_listed_and_searched_by_action_recording_time_and_person(api, admin):
    listener = api.program(Role.LISTENER)
    row_id = api.record()
    listener.get(f"/recordings/{row_id}/audio")
    admin.post(f"/recordings/{row_id}/retry")
    entries = follow(admin, "/activity", "entries")
    assert [entry["action"] for entry in entries[:2]] == ["retry", "play"]
    play = entries[1]
    assert (play["person"], play["kind"], play["recording_id"]) == (listener.name, "token", row_id)
    assert follow(admin, "/activity", "entries", action="play", recording_id=row_id, since="1h", until="0m") == [play]
    assert follow(admin, "/activity", "entries", until="2020-01-01") == []
    found = admin.post("/activity/search", {"person": listener.name, "limit": 5}).get_json()
    assert found == {"entries": [play], "next_cursor": None}


@pytest.mark.parametrize(
    ("body", "status", "sentence"),
    [
        ({"person": "a b"}, 400, "without spaces"),
        ({"person": ""}, 400, "Write a name"),
        ({"person": 5}, 400, "It must be a text"),
        ({"person": "\u200b"}, 422, "A name has 1 to 100 characters"),
        ({"since": "2026-02-30"}, 422, "is no point in time"),
        ({"cursor": "20260101T000000.000000-x"}, 400, "next_cursor"),
        ({"cursor": "20261301T000000.000000-1"}, 422, "begin again without one"),
        ({"recording_id": "1"}, 400, "a whole number"),
    ],
)
def test_a_wrong_search_of_the_audit_is_named(admin, body, status, sentence):
    assert sentence in refusal(admin.post("/activity/search", body), status)


# --- Accounts ---------------------------------------------------------------------------------------------------------


def test_an_account_is_added_changed_and_removed_and_each_is_noted(api, admin):
    made = admin.post("/accounts", {"name": "Anna", "role": "viewer", "password": PASSWORD})
    account = made.get_json()
    assert (made.status_code, account["name"], account["role"], account["has_password"]) == (
        201,
        "anna",
        "viewer",
        True,
    )
    browser = Browser(api.deployment)
    assert browser.sign_in("anna").status_code == 303
    path = f"/accounts/{account['id']}"
    changed = admin.ask("PATCH", path, json={"role": "operator", "password": OTHER}).get_json()
    assert changed == account | {"role": "operator"}
    assert browser.get("/").status_code == 302, "a new password ends the sessions"
    assert admin.get("/accounts").get_json() == {"accounts": [changed]}
    gone = admin.ask("DELETE", path)
    assert (gone.status_code, gone.data) == (204, b"")
    assert "There is no account" in refusal(admin.ask("DELETE", path), 404)
    assert "There is no account" in refusal(admin.ask("PATCH", path, json={"role": "viewer"}), 404)
    entries = api.deployment.wiring.people.audit.entries(person=admin.name)
    assert [entry.action for entry in entries][::-1] == [
        "account added",
        "account role changed",
        "account password changed",
        "account removed",
    ]
    assert PASSWORD not in f"{made.data}{changed}"


@pytest.mark.parametrize(
    ("body", "status", "sentence"),
    [
        ({"role": "viewer"}, 400, "Missing data"),
        ({"name": "bob"}, 400, "Missing data"),
        ({"name": "a b", "role": "viewer"}, 400, "without spaces"),
        ({"name": "bob", "role": "owner"}, 400, "Use one of viewer"),
        ({"name": "bob", "role": "viewer", "password": "short"}, 400, "12 to 1000 characters"),
        ({"name": "admin", "role": "viewer"}, 422, "choose another"),
        ({"name": "anna", "role": "viewer"}, 422, "There is an account anna already"),
        ({"name": "bob", "role": "viewer", "rank": 1}, 400, "There is no such parameter"),
    ],
)
def test_a_wrong_account_is_named(admin, body, status, sentence):
    admin.post("/accounts", {"name": "anna", "role": "viewer"})
    reply = admin.post("/accounts", body)
    assert sentence in refusal(reply, status)
    assert "short" not in reply.get_data(as_text=True)


@pytest.mark.parametrize(
    ("body", "status", "sentence"),
    [
        ({}, 422, "Give role, password, or both"),
        ({"role": "owner"}, 400, "Use one of viewer"),
        ({"name": "bob"}, 400, "There is no such parameter"),
        ({"password": "short"}, 400, "12 to 1000 characters"),
    ],
)
def test_a_wrong_change_of_an_account_is_named(admin, body, status, sentence):
    row_id = admin.post("/accounts", {"name": "anna", "role": "viewer"}).get_json()["id"]
    assert sentence in refusal(admin.ask("PATCH", f"/accounts/{row_id}", json=body), status)


# --- Tokens -----------------------------------------------------------------------------------------------------------


def test_a_token_is_shown_once_opens_the_api_and_opens_nothing_once_it_is_revoked(api, admin):
    made = admin.post("/tokens", {"name": "Reports", "role": "listener"})
    token = made.get_json()
    secret = token.pop("token")
    assert (made.status_code, token["name"], token["role"], token["last_used_at"]) == (201, "reports", "listener", None)
    assert "no-store" in made.headers["Cache-Control"]
    headers = {"Authorization": f"Bearer {secret}"}
    assert admin.ask("GET", "/figures", headers=headers).status_code == 200
    listed = admin.get("/tokens")
    assert secret not in listed.get_data(as_text=True)
    (other, mine) = sorted(listed.get_json()["tokens"], key=lambda row: row["name"] == "reports")
    assert mine["last_used_at"] is not None
    assert mine | {"last_used_at": None} == token
    assert other["name"] == admin.name
    path = f"/tokens/{token['id']}"
    assert admin.ask("DELETE", path).status_code == 204
    refusal(admin.ask("GET", "/figures", headers=headers), 401)
    assert "There is no token" in refusal(admin.ask("DELETE", path), 404)
    entries = api.deployment.wiring.people.audit.entries(person=admin.name)
    assert [(entry.action, entry.detail) for entry in entries][::-1] == [
        ("token added", "reports, listener"),
        ("token revoked", "reports"),
    ]


def test_a_program_cannot_revoke_the_token_that_it_shows(admin):
    (mine,) = admin.get("/tokens").get_json()["tokens"]
    assert "flask tokens revoke" in refusal(admin.ask("DELETE", f"/tokens/{mine['id']}"), 409)
    assert admin.get("/tokens").status_code == 200


@pytest.mark.parametrize(
    ("body", "status", "sentence"),
    [
        ({"role": "viewer"}, 400, "Missing data"),
        ({"name": "reports"}, 400, "Missing data"),
        ({"name": "a b", "role": "viewer"}, 400, "without spaces"),
        ({"name": "reports", "role": "owner"}, 400, "Use one of viewer"),
        ({"name": "reports", "role": "viewer", "token": "tk_mine"}, 400, "There is no such parameter"),
        ({"name": "taken", "role": "viewer"}, 422, "There is a token taken already"),
    ],
)
def test_a_wrong_token_is_named(admin, body, status, sentence):
    admin.post("/tokens", {"name": "taken", "role": "viewer"})
    assert sentence in refusal(admin.post("/tokens", body), status)
