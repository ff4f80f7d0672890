"""Roles at the views, what refusals say, the headers of every page, and what no log and no URL holds."""

from __future__ import annotations

import logging
import re

import pytest
from flask import render_template_string

from console.access import csp_nonce
from recordings.access import Actor, Role

from .browser import BY, OTHER, PASSWORD, SCRIPT, Browser, noted


@pytest.mark.parametrize("role", list(Role))
def test_a_view_is_for_its_role_and_those_above_and_says_so_to_the_others(opened, role):
    deployment = opened()
    deployment.wiring.people.accounts.add("anna", role, PASSWORD, by=BY)
    browser = Browser(deployment)
    browser.sign_in("anna")
    for needed in Role:
        reply = browser.get(f"/{needed.word}")
        assert reply.status_code == (200 if role >= needed else 403)
        if reply.status_code == 403:
            assert f"This needs the role {needed.word}" in reply.get_data(as_text=True)
            assert f"yours is {role.word}. Ask an admin" in reply.get_data(as_text=True)
    assert browser.get("/api/admin").status_code == (200 if role is Role.ADMIN else 403)


def test_a_view_that_says_nothing_is_closed_to_strangers(opened):
    client = opened(CONSOLE_PASSWORD=PASSWORD).client
    assert client.get("/recordings/1").status_code == 302
    assert client.post("/viewer").status_code == 401
    assert client.get("/recordings/1", headers={"Sec-Fetch-Mode": "no-cors"}).status_code == 401


@pytest.mark.parametrize(
    ("method", "path", "status", "sentence", "for_programs"),
    [
        ("GET", "/nothing", 404, "There is nothing at this address.", "openapi.json lists what there is"),
        ("DELETE", "/viewer", 405, "Use the buttons", "The header Allow names"),
        ("GET", "/broken", 500, "the log says what", "the log says what"),
    ],
)
def test_an_error_is_a_page_that_says_what_to_do_and_json_for_programs(
    opened, method, path, status, sentence, for_programs
):
    deployment = opened(CONSOLE_PASSWORD=PASSWORD)
    for prefix in ("", "/api"):
        deployment.app.add_url_rule(f"{prefix}/broken", f"{prefix}broken", lambda: 1 / 0)
    browser = Browser(deployment)
    browser.sign_in()
    page = browser.client.open(path, method=method)
    assert (page.status_code, page.mimetype) == (status, "text/html")
    assert sentence in page.get_data(as_text=True)
    answer = browser.client.open(f"/api{path}", method=method)
    assert (answer.status_code, answer.mimetype) == (status, "application/json")
    assert answer.get_json()["code"] == status
    assert for_programs in answer.get_json()["message"]
    if status == 405:
        assert "GET" in page.headers["Allow"]
        assert "GET" in answer.headers["Allow"]


def test_a_form_that_is_too_large_is_refused(opened):
    browser = Browser(opened(CONSOLE_PASSWORD=PASSWORD))
    reply = browser.post("/login", browser.token(), password="x" * 2_000_000)
    assert reply.status_code == 413


@pytest.mark.parametrize("settings", [{}, {"CONSOLE_PASSWORD": PASSWORD}])
def test_a_database_that_is_away_is_a_plain_page(opened, tmp_path, settings):
    (tmp_path / "folder.db").mkdir()
    client = opened(DATABASE_URL=f"sqlite:///{tmp_path}/folder.db", **settings).client
    reply = client.get("/login")
    assert reply.status_code == 503
    assert "The database cannot be reached" in reply.get_data(as_text=True)
    assert client.get("/api/me").get_json()["code"] == 503
    assert client.get("/healthz").status_code == 200


# --- Headers ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/login", "/", "/nothing", "/viewer", "/api/me", "/api/nothing"])
def test_every_answer_forbids_what_the_pages_do_not_need(opened, path):
    browser = Browser(opened(CONSOLE_PASSWORD=PASSWORD))
    for _ in range(2):
        headers = browser.get(path).headers
        policy = dict(part.split(" ", 1) for part in headers["Content-Security-Policy"].split("; "))
        assert policy["default-src"] == policy["base-uri"] == policy["frame-ancestors"] == "'none'"
        assert policy["script-src"] == policy["style-src"] == policy["form-action"] == "'self'"
        assert headers["Referrer-Policy"] == "no-referrer"
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Cache-Control"] == "private, no-store"
        browser.sign_in()


def test_each_request_has_a_nonce_of_its_own_and_a_view_its_own_caching(opened):
    deployment = opened(CONSOLE_PASSWORD=PASSWORD)

    @deployment.app.get("/styled")
    def styled():
        page = render_template_string('<style nonce="{{ csp_nonce() }}"></style>')
        return page, {"Cache-Control": "private, max-age=5", "X-Nonce": csp_nonce()}

    browser = Browser(deployment)
    browser.sign_in()
    nonces = set()
    for _ in range(2):
        reply = browser.get("/styled")
        nonce = reply.headers["X-Nonce"]
        assert f'nonce="{nonce}"' in reply.get_data(as_text=True)
        assert reply.headers["Content-Security-Policy"].count(f"'nonce-{nonce}'") == 2
        assert reply.headers["Cache-Control"] == "private, max-age=5"
        nonces.add(nonce)
    assert len(nonces) == 2


def test_the_pages_need_no_script_and_no_style_of_their_own(opened):
    browser = Browser(opened(CONSOLE_PASSWORD=PASSWORD))
    pages = [browser.get("/login").get_data(as_text=True)]
    browser.sign_in()
    pages.append(browser.get("/nothing").get_data(as_text=True))
    for page in pages:
        assert not re.search(r"<script|<style|\sstyle=|\son\w+=|javascript:", re.sub(SCRIPT, "", page))


# --- The audit, the logs, the URLs ------------------------------------------------------------------------------------


def test_sign_ins_and_failed_ones_are_noted_and_a_password_in_the_wrong_field_is_not(opened):
    deployment = opened(CONSOLE_PASSWORD=PASSWORD)
    deployment.wiring.people.accounts.add("anna", Role.VIEWER, OTHER, by=BY)
    browser = Browser(deployment)
    browser.sign_in("Anna", "wrong")
    browser.sign_in("hunter2hunter2", "wrong")
    browser.sign_in("anna", OTHER)
    assert noted(deployment)[1:] == [
        ("anna", "failed sign-in", "127.0.0.1"),
        ("unknown", "failed sign-in", "127.0.0.1"),
        ("anna", "sign-in", "127.0.0.1"),
    ]


def test_no_secret_stands_in_a_log_line_or_a_url(opened, caplog):
    caplog.set_level(logging.DEBUG)
    deployment = opened(CONSOLE_PASSWORD=PASSWORD, API_TOKENS="the-token-of-this-year", LOG_LEVEL="DEBUG")
    people = deployment.wiring.people
    people.accounts.add("anna", Role.ADMIN, OTHER, by=BY)
    token = people.tokens.create("grafana", Role.VIEWER, by=BY)
    browser = Browser(deployment)
    replies = [browser.get("/recordings/1"), browser.sign_in("anna", "wrong-password")]
    forms = [browser.token(), browser.token()]
    replies += [browser.sign_in("anna", OTHER), browser.sign_in("admin"), browser.post("/operator", "a-forged-token")]
    for text in (token, token[:-1] + "x", "the-token-of-this-year", "a-wrong-token"):
        replies.append(deployment.client.get("/api/me", headers={"Authorization": f"Bearer {text}"}))
    cookie = browser.client.get_cookie("__Host-tapekeeper").value
    secrets = [PASSWORD, OTHER, "wrong-password", token, token[:-1], "the-token-of-this-year", "a-wrong-token", cookie]
    urls = [reply.headers.get("Location", "") for reply in replies]
    assert urls.count("/login") == 1
    logged = "\n".join([caplog.text, *urls, *(str(vars(record)) for record in caplog.records)])
    assert "was refused" in logged
    assert [secret for secret in [*secrets, *forms, "a-forged-token"] if secret in logged] == []


def test_an_actor_in_a_message_shows_no_secret():
    assert repr(Actor("anna", Role.VIEWER, None, "token")).count("anna") == 1
