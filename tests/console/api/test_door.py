"""Who may call what, forged requests, a database that is away, and that other doors stay as they are."""

from __future__ import annotations

import logging
import re

import pytest
from flask import jsonify

from lanes import lane_of
from recordings.access import Role
from recordings.timeouts import deadline_of_reads
from tests.console.browser import BY, PASSWORD

from .conftest import refusal

OPERATIONS = [
    ("GET", "/recordings", Role.VIEWER),
    ("POST", "/recordings/search", Role.VIEWER),
    ("GET", "/recordings/1", Role.VIEWER),
    ("GET", "/recordings/1/audio", Role.LISTENER),
    ("GET", "/recordings/1/download", Role.LISTENER),
    ("GET", "/recordings/1/peaks", Role.LISTENER),
    ("POST", "/recordings/1/retry", Role.OPERATOR),
    ("POST", "/recordings/export.csv", Role.LISTENER),
    ("POST", "/recordings/export.jsonl", Role.LISTENER),
    ("GET", "/calls/missing", Role.VIEWER),
    ("GET", "/deliveries", Role.VIEWER),
    ("GET", "/deliveries/1", Role.VIEWER),
    ("POST", "/deliveries/1/replay", Role.OPERATOR),
    ("GET", "/storages", Role.VIEWER),
    ("GET", "/figures", Role.VIEWER),
    ("GET", "/activity", Role.OPERATOR),
    ("POST", "/activity/search", Role.OPERATOR),
    ("POST", "/activity/export.csv", Role.OPERATOR),
    ("POST", "/activity/export.jsonl", Role.OPERATOR),
    ("GET", "/accounts", Role.ADMIN),
    ("POST", "/accounts", Role.ADMIN),
    ("PATCH", "/accounts/1", Role.ADMIN),
    ("DELETE", "/accounts/1", Role.ADMIN),
    ("GET", "/tokens", Role.ADMIN),
    ("POST", "/tokens", Role.ADMIN),
    ("DELETE", "/tokens/1", Role.ADMIN),
]
CHANGING = [(method, path) for method, path, _ in OPERATIONS if method != "GET"]
by_operation = pytest.mark.parametrize(("method", "path", "role"), OPERATIONS)


def test_these_are_all_operations(api, admin):
    document = admin.get("/openapi.json").get_json()
    documented = {
        (method.upper(), re.sub(r"\{\w+\}", "1", path.removeprefix("/api")), operation["x-role"])
        for path, operations in document["paths"].items()
        for method, operation in operations.items()
        if method != "parameters"
    }
    assert documented == {(method, path, role.word) for method, path, role in OPERATIONS}
    routed = {rule.rule for rule in api.deployment.app.url_map.iter_rules() if rule.rule.startswith("/api/")}
    assert len(routed) == len(document["paths"]) + 2, "the document and its page are the others"


# --- Roles ------------------------------------------------------------------------------------------------------------


@by_operation
def test_an_operation_needs_its_role_and_no_more(api, method, path, role):
    body = {"json": {}} if method in ("POST", "PATCH") and "retry" not in path and "replay" not in path else {}
    for lower in [other for other in Role if other < role]:
        reply = api.program(lower).ask(method, path, **body)
        assert f"needs the role {role.word}" in refusal(reply, 403)
    assert api.program(role).ask(method, path, **body).status_code in (200, 204, 400, 404, 422)


@by_operation
def test_strangers_and_wrong_tokens_are_refused(api, method, path, role):
    api.program()
    for headers in ({}, {"Authorization": "Bearer tk_" + "x" * 43}, {"Authorization": "Basic eDp5"}):
        reply = api.deployment.client.open(f"/api{path}", method=method, headers=headers)
        assert "flask tokens add" in refusal(reply, 401)
        assert reply.headers["WWW-Authenticate"].lower() == "bearer"


@by_operation
def test_without_anybody_who_may_come_in_there_is_no_api(deploy, method, path, role):
    reply = deploy().client.open(f"/api{path}", method=method)
    assert (reply.status_code, reply.mimetype) == (404, "text/html")


def test_a_token_of_the_settings_is_a_viewer(api, deploy):
    client = deploy(API_TOKENS="the-token-of-this-year").client
    bearer = {"Authorization": "Bearer the-token-of-this-year"}
    assert client.get("/api/recordings", headers=bearer).status_code == 200
    assert "role listener" in refusal(client.post("/api/recordings/export.csv", headers=bearer, json={}), 403)


# --- The session's cookie ---------------------------------------------------------------------------------------------


def test_whoever_has_signed_in_reads_with_the_cookie(api):
    browser = api.browser(Role.VIEWER)
    assert browser.get("/api/recordings").status_code == 200
    refusal(browser.get("/api/activity"), 403)


@pytest.mark.parametrize(("method", "path"), CHANGING)
@pytest.mark.parametrize("token", [None, "forged"])
def test_a_forged_change_with_somebodys_cookie_is_refused(api, method, path, token):
    browser = api.browser(Role.OPERATOR)
    headers = {} if token is None else {"X-CSRFToken": token}
    reply = browser.client.open(f"/api{path}", method=method, headers=headers, json={})
    assert "X-CSRFToken" in refusal(reply, 400)


def test_a_page_of_ours_changes_with_the_cookie_and_its_header(api):
    browser = api.browser(Role.OPERATOR)
    row_id = api.record(stored=False)
    headers = {"X-CSRFToken": browser.token(f"/recordings/{row_id}")}
    assert browser.client.post(f"/api/recordings/{row_id}/retry", headers=headers).get_json() == {"copies_due": 1}
    assert api.noted("retry") == [("operator", row_id)]


# --- Errors -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "path", "status", "allowed"),
    [("GET", "/nothing", 404, None), ("PUT", "/recordings", 405, "GET"), ("GET", "/recordings/1/retry", 405, "POST")],
)
def test_what_is_not_there_has_the_shape_of_every_error(admin, method, path, status, allowed):
    reply = admin.ask(method, path)
    refusal(reply, status)
    assert allowed is None or allowed in reply.headers["Allow"]


def test_errors_of_the_other_doors_stay_as_they_are(api):
    client = api.deployment.client
    assert client.get("/webhooks/nothing").get_json()["error"]["code"] == "not_found"
    assert client.put("/webhooks/recordings").status_code == 405
    assert "code" not in (client.put("/webhooks/recordings").get_json(silent=True) or {})
    assert client.post("/webhooks/recordings", data="{").get_json()["error"]["code"] != 400
    assert client.put("/healthz").mimetype == "text/html"
    assert api.browser().get("/nothing").mimetype == "text/html"


def test_no_secret_number_or_name_stands_in_an_address_or_a_log_line(api, caplog):
    caplog.set_level(logging.DEBUG)
    admin = api.program(Role.ADMIN)
    api.record("447700900777")
    replies = [
        admin.post("/recordings/search", {"number": "447700900777"}),
        admin.post("/recordings/search", {"number": "not +447700900777"}),
        admin.get("/recordings?number=447700900777"),
        admin.post("/activity/search", {"person": "anna-with-a-name"}),
        admin.post("/accounts", {"name": "anna-with-a-name", "role": "viewer", "password": PASSWORD}),
        admin.post("/accounts", {"name": "anna-with-a-name", "role": "viewer", "password": PASSWORD}),
    ]
    addresses = [value for reply in replies for name, value in reply.headers.items() if name != "Content-Type"]
    logged = "\n".join([caplog.text, *addresses, *(str(vars(record)) for record in caplog.records)])
    secrets = ("447700900777", "anna-with-a-name", PASSWORD, admin.token)
    assert [secret for secret in secrets if secret in logged] == []
    assert not any(secret in reply.get_data(as_text=True) for reply in replies for secret in (PASSWORD, admin.token))


# --- While the database is away ---------------------------------------------------------------------------------------

LISTS = [path for method, path, _ in OPERATIONS if method == "GET" and "1" not in path]


@pytest.mark.parametrize("path", LISTS)
def test_a_catalogue_that_is_away_is_one_plain_error(deploy, tmp_path, path):
    (tmp_path / "folder.db").mkdir()
    settings = {"API_TOKENS": "the-token-of-this-year", "DATABASE_URL": f"sqlite:///{tmp_path}/folder.db"}
    client = deploy(**settings).client
    reply = client.get(f"/api{path}", headers={"Authorization": "Bearer the-token-of-this-year"})
    assert refusal(reply, 503).startswith("The database cannot be reached")
    assert reply.headers["Retry-After"] == "10"


def test_all_that_a_request_to_the_api_reads_has_one_deadline_and_other_paths_have_none(api, admin):
    app = api.deployment.app
    for path in ("/api/deadline", "/deadline"):
        app.add_url_rule(path, path, lambda: jsonify(left=deadline_of_reads() and deadline_of_reads().left()))
    assert 0 < admin.get("/deadline").get_json()["left"] <= 60
    assert api.browser().get("/deadline").get_json() == {"left": None}
    assert deadline_of_reads() is None


# --- Monitors ---------------------------------------------------------------------------------------------------------


def test_a_token_of_the_catalogue_opens_metrics_and_the_particulars_of_readyz(deploy, tmp_path, until):
    (tmp_path / "b").write_text("a file where a folder belongs")
    deployment = deploy(STORAGE_URL=f"file://{tmp_path}/b")
    client, tokens = deployment.client, deployment.wiring.people.tokens
    assert client.get("/metrics").status_code == 404
    bearer = {"Authorization": f"Bearer {tokens.create('prometheus', Role.VIEWER, by=BY)}"}
    until(lambda: client.get("/metrics").status_code == 401, "a token opens the route")
    until(lambda: "tapekeeper_info" in client.get("/metrics", headers=bearer).get_data(as_text=True), "it is shown")
    until(lambda: "move it away" in str(client.get("/readyz", headers=bearer).get_json()), "readyz tells what is wrong")
    wrong = {"Authorization": "Bearer tk_" + "x" * 43}
    assert client.get("/metrics", headers=wrong).status_code == 401
    assert "move it away" not in str(client.get("/readyz", headers=wrong).get_json())
    tokens.revoke("prometheus", by=BY)
    until(lambda: client.get("/metrics", headers=bearer).status_code == 404, "it opens nothing any more")


def test_while_the_catalogue_is_away_the_settings_tokens_still_open_what_they_open(deploy, tmp_path):
    (tmp_path / "folder.db").mkdir()
    settings = {"API_TOKENS": "the-token-of-this-year", "DATABASE_URL": f"sqlite:///{tmp_path}/folder.db"}
    client = deploy(**settings).client
    ours, theirs = ({"Authorization": f"Bearer {text}"} for text in ("the-token-of-this-year", "tk_" + "x" * 43))
    assert client.get("/metrics", headers=ours).status_code == 503
    assert client.get("/metrics", headers=theirs).status_code == 503
    assert client.get("/readyz", headers=theirs).status_code == 503
    without = deploy(DATABASE_URL=settings["DATABASE_URL"]).client
    assert without.get("/metrics").status_code == 404, "nobody is told that there could be something"


def test_the_api_has_the_threads_of_the_pages_and_its_long_replies_those_of_audio():
    assert lane_of(b"GET /api/recordings HTTP/1.1") == "pages"
    assert lane_of(b"POST //api/recordings/search HTTP/1.1") == "pages"
    assert lane_of(b"GET /api/recordings/1/download HTTP/1.1") == "audio"
    assert lane_of(b"POST /api/recordings/export.jsonl HTTP/1.1") == "audio"
