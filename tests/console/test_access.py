"""Who comes in by the console's door, as whom, and what is refused."""

from __future__ import annotations

import time

import pytest

from recordings.access import Role

from .browser import BY, OTHER, PASSWORD, Browser, noted

# --- Closed unless set up ---------------------------------------------------------------------------------------------

PATHS = ("/", "/login", "/logout", "/recordings/1", "/api/me", "/nothing", "/static/x.css")


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_without_a_setting_or_an_account_no_page_exists(opened, path, method):
    reply = opened(API_TOKENS="").client.open(path, method=method)
    assert reply.status_code == 404
    assert "Content-Security-Policy" not in reply.headers
    assert "Tapekeeper" not in reply.get_data(as_text=True)


@pytest.mark.parametrize(
    "headers", [{"X-Remote-User": "admin"}, {"Host": "127.0.0.1"}, {"X-Forwarded-For": "127.0.0.1"}]
)
def test_nothing_in_a_request_opens_the_door(opened, headers):
    reply = opened().client.get("/me", headers=headers, environ_base={"REMOTE_ADDR": "127.0.0.1"})
    assert reply.status_code == 404


def test_an_account_opens_the_door_at_once_in_every_process(opened):
    deployment = opened()
    assert deployment.client.get("/login").status_code == 404
    deployment.wiring.people.accounts.add("anna", Role.VIEWER, PASSWORD, by=BY)
    assert deployment.client.get("/login").status_code == 200


def test_tokens_alone_open_the_api_and_no_page(opened):
    deployment = opened()
    token = deployment.wiring.people.tokens.create("grafana", Role.VIEWER, by=BY)
    assert deployment.client.get("/login").status_code == 404
    assert deployment.client.get("/api/me").status_code == 401
    assert deployment.client.get("/api/me", headers={"Authorization": f"Bearer {token}"}).status_code == 200


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics"])
@pytest.mark.parametrize("settings", [{}, {"CONSOLE_PASSWORD": PASSWORD}])
def test_monitors_come_in_as_before(opened, path, settings):
    reply = opened(METRICS_PUBLIC="true", **settings).client.get(path)
    assert reply.status_code == (503 if path == "/readyz" else 200), "at first it is not known what is ready"
    assert not {"Set-Cookie", "Vary", "Content-Security-Policy"} & set(reply.headers.keys())


def test_vonage_comes_in_as_before(opened):
    deployment = opened(CONSOLE_PASSWORD=PASSWORD, ALLOW_UNSIGNED_WEBHOOKS="true")
    event = {"recording_uuid": "r", "conversation_uuid": "CON-1", "recording_url": "https://api.nexmo.com/x", "size": 1}
    reply = deployment.client.post("/webhooks/recordings", json=event)
    assert (reply.status_code, "Set-Cookie" in reply.headers) == (204, False)
    assert deployment.client.get("/webhooks/nothing").status_code == 404


# --- Passwords and sessions -------------------------------------------------------------------------------------------


def test_a_stranger_is_sent_to_the_log_in_page_and_then_to_what_was_wanted(opened):
    browser = Browser(opened(CONSOLE_PASSWORD=PASSWORD))
    reply = browser.get("/recordings/17?q=abc")
    assert (reply.status_code, reply.headers["Location"]) == (302, "/login")
    reply = browser.sign_in()
    assert (reply.status_code, reply.headers["Location"]) == (303, "/recordings/17?q=abc")
    assert browser.get("/me").get_data(as_text=True) == "admin admin account 127.0.0.1"
    assert browser.get("/login").headers["Location"] == "/"


def test_an_account_signs_in_with_its_role_which_may_change_at_once(opened):
    deployment = opened()
    accounts = deployment.wiring.people.accounts
    accounts.add("anna", Role.LISTENER, PASSWORD, by=BY)
    browser = Browser(deployment)
    assert browser.sign_in("Anna").headers["Location"] == "/"
    assert browser.get("/me").get_data(as_text=True) == "anna listener account 127.0.0.1"
    accounts.set_role("anna", Role.VIEWER, by=BY)
    assert browser.get("/listener").status_code == 403


@pytest.mark.parametrize(
    ("name", "password"),
    [("anna", "wrong"), ("admin", OTHER), ("nobody", OTHER), ("", ""), ("a b", "x" * 5000), ("a\x00b", "\x00")],
)
def test_a_wrong_name_or_password_is_refused_with_one_and_the_same_sentence(opened, name, password):
    deployment = opened(CONSOLE_PASSWORD=PASSWORD)
    deployment.wiring.people.accounts.add("anna", Role.VIEWER, OTHER, by=BY)
    browser = Browser(deployment)
    reply = browser.sign_in(name, password)
    assert reply.status_code == 403
    assert "This name and password do not fit." in reply.get_data(as_text=True)
    assert browser.get("/me").status_code == 302


def test_a_form_without_its_fields_is_refused(opened):
    browser = Browser(opened(CONSOLE_PASSWORD=PASSWORD))
    assert browser.post("/login", browser.token()).status_code == 403


def test_sessions_end_when_the_password_changes(opened):
    first = Browser(opened(CONSOLE_PASSWORD=PASSWORD))
    first.sign_in()
    assert first.get("/me").status_code == 200
    cookie = first.client.get_cookie("__Host-tapekeeper").value
    for password, status in ((PASSWORD, 200), (OTHER, 302)):
        other = opened(CONSOLE_PASSWORD=password).app.test_client()
        other.set_cookie("__Host-tapekeeper", cookie)
        assert other.get("/me").status_code == status, "the same key in another process"


@pytest.mark.parametrize("end", ["set_password", "remove", "anew"])
def test_sessions_of_an_account_end_with_its_password_and_with_the_account(opened, end):
    deployment = opened(CONSOLE_PASSWORD=PASSWORD)
    accounts = deployment.wiring.people.accounts
    accounts.add("anna", Role.LISTENER, PASSWORD, by=BY)
    browser = Browser(deployment)
    browser.sign_in("anna")
    assert browser.get("/me").status_code == 200
    if end == "set_password":
        accounts.set_password("anna", OTHER, by=BY)
    else:
        accounts.remove("anna", by=BY)
    if end == "anew":
        accounts.add("anna", Role.ADMIN, PASSWORD, by=BY)
    assert browser.get("/me").status_code == 302


def test_a_session_ends_after_seven_days_however_busy_it_is(opened):
    browser = Browser(opened(CONSOLE_PASSWORD=PASSWORD))
    browser.sign_in()
    for age, status in ((6 * 86400, 200), (7 * 86400, 302)):
        with browser.client.session_transaction() as session:
            session["since"] = time.time() - age
        assert browser.get("/me").status_code == status


def test_signing_out_ends_the_session(opened):
    deployment = opened(CONSOLE_PASSWORD=PASSWORD)
    browser = Browser(deployment)
    browser.sign_in()
    token = browser.token("/nothing")
    assert browser.post("/logout", token).headers["Location"] == "/login"
    assert browser.get("/me").status_code == 302
    assert noted(deployment) == [("admin", "sign-in", "127.0.0.1"), ("admin", "sign-out", "127.0.0.1")]


COOKIE = "__Host-tapekeeper"


def copy_of(browser):
    """Another client with the cookie of this browser, as a thief has it."""
    thief = browser.client.application.test_client()
    thief.set_cookie(COOKIE, browser.client.get_cookie(COOKIE).value)
    return thief


@pytest.mark.parametrize("name", ["admin", "anna"])
def test_a_copy_of_the_cookie_opens_nothing_once_its_person_has_signed_out(opened, name):
    deployment = opened(CONSOLE_PASSWORD=PASSWORD)
    deployment.wiring.people.accounts.add("anna", Role.LISTENER, PASSWORD, by=BY)
    browser, other = Browser(deployment), Browser(deployment)
    browser.sign_in(name)
    other.sign_in(name)
    thief = copy_of(browser)
    assert thief.get("/me").status_code == 200
    browser.post("/logout", browser.token("/nothing"))
    assert thief.get("/me").status_code == 302
    assert thief.get("/api/me").status_code == 401
    assert other.get("/me").status_code == 200, "another session of the same person goes on"
    elsewhere = opened(CONSOLE_PASSWORD=PASSWORD).app.test_client()
    elsewhere.set_cookie(COOKIE, thief.get_cookie(COOKIE).value)
    assert elsewhere.get("/me").status_code == 302, "the same in another process"
    assert browser.sign_in(name).status_code == 303
    assert browser.get("/me").status_code == 200


def test_to_sign_in_once_more_ends_the_former_session_of_this_browser(opened):
    browser = Browser(opened(CONSOLE_PASSWORD=PASSWORD))
    browser.sign_in()
    thief = copy_of(browser)
    token = browser.token("/nothing")
    assert browser.post("/login", token, name="admin", password=PASSWORD).status_code == 303
    assert thief.get("/me").status_code == 302
    assert browser.get("/me").status_code == 200


def test_a_cookie_from_before_sessions_had_names_opens_nothing(opened):
    browser = Browser(opened(CONSOLE_PASSWORD=PASSWORD))
    browser.sign_in()
    with browser.client.session_transaction() as session:
        del session["id"]
    assert browser.get("/me").status_code == 302


def test_signing_out_ends_the_session_also_of_somebody_who_now_comes_by_a_proxy(opened):
    settings = {"CONSOLE_PASSWORD": PASSWORD, "AUTH_HEADER": "X-Remote-User", "AUTH_PROXIES": "10.0.0.5"}
    browser = Browser(opened(**settings))
    browser.sign_in()
    thief = copy_of(browser)
    browser.environ = {"REMOTE_ADDR": "10.0.0.5", "HTTP_X_REMOTE_USER": "anna"}
    assert browser.get("/me").get_data(as_text=True).startswith("anna viewer proxy")
    assert browser.post("/logout", browser.token("/recordings")).status_code == 303
    assert thief.get("/me").status_code == 302


def test_who_cannot_be_signed_out_is_told_so_and_may_try_again(opened):
    deployment = opened(CONSOLE_PASSWORD=PASSWORD)
    browser = Browser(deployment)
    browser.sign_in()
    token = browser.token("/nothing")
    with deployment.wiring.database.write() as connection:
        connection.exec_driver_sql(
            "CREATE TRIGGER full BEFORE INSERT ON ended_sessions BEGIN SELECT RAISE(ABORT, 'disk full'); END"
        )
    assert browser.post("/logout", token).status_code >= 500
    with deployment.wiring.database.write() as connection:
        connection.exec_driver_sql("DROP TRIGGER full")
    assert browser.post("/logout", token).status_code == 303


@pytest.mark.parametrize(
    ("url", "name", "secure"),
    [("https://t.example", "__Host-tapekeeper", True), ("http://127.0.0.1:8000", "tapekeeper", False)],
)
def test_the_cookie_is_for_this_site_alone_and_for_https_where_there_is_https(opened, url, name, secure):
    cookie = Browser(opened(CONSOLE_PASSWORD=PASSWORD, PUBLIC_URL=url)).sign_in().headers["Set-Cookie"]
    assert cookie.startswith(f"{name}=")
    assert {"HttpOnly", "SameSite=Lax", "Path=/"} <= set(cookie.split("; "))
    assert ("Secure" in cookie.split("; ")) == secure
    assert "Domain" not in cookie


def test_the_cookie_shows_neither_the_password_nor_a_plain_hash_of_it(opened):
    browser = Browser(opened(CONSOLE_PASSWORD=PASSWORD))
    browser.sign_in()
    cookie = browser.client.get_cookie("__Host-tapekeeper").value
    assert PASSWORD not in cookie


@pytest.mark.parametrize("change", [lambda text: text[:-2], lambda text: "x" + text, lambda text: "", lambda text: "é"])
def test_a_changed_cookie_is_a_strangers(opened, change):
    browser = Browser(opened(CONSOLE_PASSWORD=PASSWORD))
    browser.sign_in()
    cookie = browser.client.get_cookie("__Host-tapekeeper").value
    browser.client.set_cookie("__Host-tapekeeper", change(cookie))
    assert browser.get("/me").status_code == 302


def test_below_a_path_of_a_proxy_links_and_redirects_hold_the_path(opened):
    browser = Browser(opened(CONSOLE_PASSWORD=PASSWORD, PUBLIC_URL="https://t.example/tapes"))
    assert browser.get("/recordings/1").headers["Location"] == "/tapes/login"
    assert 'action="/tapes/login"' in browser.get("/login").get_data(as_text=True)
    assert browser.sign_in().headers["Location"] == "/tapes/recordings/1"


# --- Too many tries ---------------------------------------------------------------------------------------------------


def test_after_ten_wrong_passwords_the_right_one_waits_too(opened):
    browser = Browser(opened(CONSOLE_PASSWORD=PASSWORD))
    assert [browser.sign_in(password="wrong").status_code for _ in range(10)] == [403] * 10
    reply = browser.sign_in()
    assert reply.status_code == 429
    assert 0 < int(reply.headers["Retry-After"]) <= 300
    assert "Wait 5 minutes" in reply.get_data(as_text=True)


def test_behind_a_router_each_client_has_tries_of_its_own(opened):
    deployment = opened(CONSOLE_PASSWORD=PASSWORD, PROXY_HOPS="1")
    browser = Browser(deployment)
    for number in range(11):
        forwarded = f"198.51.100.{number}, 192.0.2.1"  # the first is what the client claims
        reply = browser.post("/login", browser.token(), {"X-Forwarded-For": forwarded}, name="admin", password="wrong")
    assert reply.status_code == 429
    assert browser.post("/login", browser.token(), {"X-Forwarded-For": "192.0.2.2"}, name="a").status_code == 403
    assert noted(deployment)[-1][2] == "192.0.2.2"


def test_without_hops_a_forwarded_address_is_not_believed(opened):
    deployment = opened(CONSOLE_PASSWORD=PASSWORD)
    browser = Browser(deployment)
    browser.post("/login", browser.token(), {"X-Forwarded-For": "192.0.2.2"}, name="admin")
    assert noted(deployment)[-1][2] == "127.0.0.1"


# --- Forged requests --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/login", "/logout", "/operator", "/api/operator"])
@pytest.mark.parametrize("token", [None, "", "wrong"])
def test_a_forged_post_with_the_persons_cookie_is_refused(opened, path, token):
    browser = Browser(opened(CONSOLE_PASSWORD=PASSWORD))
    browser.sign_in()
    reply = browser.post(path, token)
    assert reply.status_code == 400
    assert "was not sent from this site" in reply.get_data(as_text=True)


def test_the_token_of_another_session_is_refused(opened):
    deployment = opened(CONSOLE_PASSWORD=PASSWORD)
    browser, other = Browser(deployment), Browser(deployment)
    browser.sign_in()
    assert browser.post("/operator", other.token()).status_code == 400


def test_a_script_of_our_pages_sends_it_in_a_header(opened):
    browser = Browser(opened(CONSOLE_PASSWORD=PASSWORD))
    browser.sign_in()
    token = browser.token("/nothing")
    assert browser.post("/api/operator", headers={"X-CSRFToken": token}).status_code == 200
    assert browser.post("/operator", token).status_code == 200


def test_over_https_no_referer_is_needed_since_our_pages_send_none(opened):
    browser = Browser(opened(CONSOLE_PASSWORD=PASSWORD), **{"wsgi.url_scheme": "https"})
    assert browser.sign_in().status_code == 303


def test_a_token_needs_no_check_and_counts_before_the_cookie(opened):
    deployment = opened(CONSOLE_PASSWORD=PASSWORD)
    text = deployment.wiring.people.tokens.create("grafana", Role.VIEWER, by=BY)
    browser = Browser(deployment)
    browser.sign_in()
    bearer = {"Authorization": f"Bearer {text}"}
    assert browser.get("/api/me", headers=bearer).get_data(as_text=True).startswith("grafana viewer token")
    assert browser.post("/api/viewer", headers=bearer).status_code == 200
    assert browser.post("/api/operator", headers=bearer).status_code == 403, "the cookie's admin lends it nothing"


@pytest.mark.parametrize("header", ["Bearer wrong", "Bearer ", "Bearer", "bearer tk_" + "x" * 43, "Bearer é"])
def test_a_wrong_token_is_refused_also_beside_a_cookie(opened, header):
    browser = Browser(opened(CONSOLE_PASSWORD=PASSWORD))
    browser.sign_in()
    for reply in (
        browser.get("/api/me", headers={"Authorization": header}),
        browser.post("/api/viewer", headers={"Authorization": header}),
    ):
        assert reply.status_code == 401
        assert reply.headers["WWW-Authenticate"].lower() == "bearer"
        assert "flask tokens add" in reply.get_json()["message"]


def test_another_scheme_of_a_proxy_before_us_does_not_disturb(opened):
    browser = Browser(opened(CONSOLE_PASSWORD=PASSWORD))
    browser.sign_in()
    assert browser.get("/me", headers={"Authorization": "Basic eDp5"}).status_code == 200


def test_the_fixed_tokens_are_viewers_and_a_revoked_one_is_nobody(opened):
    deployment = opened(API_TOKENS="the-token-of-this-year")
    reply = deployment.client.get("/api/me", headers={"Authorization": "Bearer the-token-of-this-year"})
    assert reply.get_data(as_text=True) == "API_TOKENS viewer token 127.0.0.1"
    assert "Set-Cookie" not in reply.headers
    tokens = deployment.wiring.people.tokens
    bearer = {"Authorization": f"Bearer {tokens.create('grafana', Role.ADMIN, by=BY)}"}
    assert deployment.client.get("/api/admin", headers=bearer).status_code == 200
    tokens.revoke("grafana", by=BY)
    assert deployment.client.get("/api/admin", headers=bearer).status_code == 401


def test_a_page_that_is_left_open_does_not_make_its_session_last_longer(opened):
    browser = Browser(opened(CONSOLE_PASSWORD=PASSWORD))
    browser.sign_in()
    assert "Set-Cookie" in browser.get("/me").headers
    assert "Set-Cookie" not in browser.get("/me", headers={"X-Asked-By-Itself": "yes"}).headers
    # A reply that is under way while the person signs out must not bring the session back.
    assert "Set-Cookie" not in browser.get("/me", headers={"Sec-Fetch-Dest": "audio"}).headers
    assert "Set-Cookie" in browser.get("/me", headers={"Sec-Fetch-Dest": "document"}).headers
