"""A single sign-on proxy that names the person, and the demo's open door."""

from __future__ import annotations

import pytest
from flask import request

from recordings.access import Role
from recordings.errors import InvalidInput
from settings import SettingsError

from .browser import BY, PASSWORD, Browser

PROXY = {"REMOTE_ADDR": "10.0.0.5"}
SSO = {"AUTH_HEADER": "X-Remote-User", "AUTH_PROXIES": "10.0.0.0/24"}


# --- Single sign-on ---------------------------------------------------------------------------------------------------


def test_a_proxy_names_the_person(opened):
    deployment = opened(**SSO)
    reply = Browser(deployment, **PROXY).get("/me", headers={"X-Remote-User": "Anna@example.com"})
    assert reply.get_data(as_text=True) == "anna@example.com viewer proxy 10.0.0.5"


def test_an_account_of_the_same_name_gives_the_role_and_else_the_setting_does(opened):
    deployment = opened(**SSO, AUTH_ROLE="listener")
    deployment.wiring.people.accounts.add("anna", Role.ADMIN, None, by=BY)
    browser = Browser(deployment, **PROXY)
    assert "anna admin proxy" in browser.get("/me", headers={"X-Remote-User": "anna"}).get_data(as_text=True)
    assert "bob listener proxy" in browser.get("/me", headers={"X-Remote-User": "bob"}).get_data(as_text=True)
    assert "admin listener proxy" in browser.get("/me", headers={"X-Remote-User": "admin"}).get_data(as_text=True)


@pytest.mark.parametrize("peer", ["10.0.1.5", "127.0.0.1", "::1", "", "unix:/run/x"])
@pytest.mark.parametrize("header", ["X-Remote-User", "X_Remote_User", "x-remote-user"])
def test_from_anybody_else_the_header_is_dropped(opened, peer, header):
    deployment = opened(**SSO)
    deployment.app.add_url_rule("/login/seen", "static", lambda: str("HTTP_X_REMOTE_USER" in request.environ))
    browser = Browser(deployment, REMOTE_ADDR=peer)
    headers = {header: "anna", "X-Forwarded-For": "10.0.0.5"}
    assert browser.get("/me", headers=headers).status_code == 302
    assert browser.get("/login/seen", headers=headers).get_data(as_text=True) == "False"


def test_the_peer_counts_and_not_what_it_forwards(opened):
    browser = Browser(opened(**SSO, PROXY_HOPS="1"), REMOTE_ADDR="203.0.113.9")
    assert browser.get("/me", headers={"X-Remote-User": "anna", "X-Forwarded-For": "10.0.0.5"}).status_code == 302
    browser = Browser(opened(**SSO, PROXY_HOPS="1"), **PROXY)
    reply = browser.get("/me", headers={"X-Remote-User": "anna", "X-Forwarded-For": "203.0.113.9"})
    assert reply.get_data(as_text=True) == "anna viewer proxy 203.0.113.9"


def test_an_ipv4_proxy_that_comes_over_an_ipv6_socket_is_known(opened):
    browser = Browser(opened(**SSO), REMOTE_ADDR="::ffff:10.0.0.5")
    assert browser.get("/me", headers={"X-Remote-User": "anna"}).status_code == 200


@pytest.mark.parametrize("name", ["anna,bob", "a b", "x" * 101])
def test_a_name_that_is_none_is_refused(opened, name):
    reply = Browser(opened(**SSO), **PROXY).get("/me", headers={"X-Remote-User": name})
    assert reply.status_code == 400
    assert "A name has 1 to 100 characters" in reply.get_data(as_text=True)


def test_a_forged_post_through_the_proxy_is_refused(opened):
    browser = Browser(opened(**SSO), **PROXY)
    assert browser.post("/viewer", headers={"X-Remote-User": "anna"}).status_code == 400


def test_the_proxys_word_counts_before_the_session(opened):
    browser = Browser(opened(**SSO, CONSOLE_PASSWORD=PASSWORD), **PROXY)
    browser.sign_in()
    assert "bob viewer proxy" in browser.get("/me", headers={"X-Remote-User": "bob"}).get_data(as_text=True)


# --- The demo ---------------------------------------------------------------------------------------------------------

LOOPBACK = {"DEMO_DOOR": "true", "PUBLIC_URL": "http://127.0.0.1:8000"}


def open_demo(deployment, *listening):
    deployment.app.extensions["tapekeeper.demo_door"].open(listening)
    return deployment.client


@pytest.mark.parametrize("listening", [("127.0.0.1", 8000), ("::1", 8000, 0, 0), "localhost", "127.0.0.1"])
def test_the_demos_door_opens_where_the_server_listens_at_loopback_alone(opened, listening):
    deployment = opened(**LOOPBACK)
    assert deployment.client.get("/me").status_code == 404, "closed until the server says where it listens"
    reply = open_demo(deployment, listening).get("/me", base_url="http://127.0.0.1:8000")
    assert reply.get_data(as_text=True) == "demo admin demo 127.0.0.1"


@pytest.mark.parametrize(
    "listening", [[("0.0.0.0", 80)], [("127.0.0.1", 80), ("192.0.2.1", 80)], ["/run/x"], [None], [""], []]
)
def test_it_is_refused_where_other_machines_reach_the_server(opened, listening):
    with pytest.raises(InvalidInput, match=r"127\.0\.0\.1 alone"):
        open_demo(opened(**LOOPBACK), *listening)


def test_it_is_refused_with_a_public_address(opened):
    with pytest.raises(SettingsError, match="PUBLIC_URL is no loopback address"):
        opened(DEMO_DOOR="true")


def test_where_it_is_not_wanted_a_loopback_server_opens_nothing(opened):
    assert open_demo(opened(PUBLIC_URL="http://127.0.0.1:8000"), ("127.0.0.1", 80)).get("/me").status_code == 404


@pytest.mark.parametrize("host", ["http://evil.example", "http://127.0.0.1.evil.example:8000"])
def test_a_foreign_name_that_points_to_it_sees_nothing(opened, host):
    client = open_demo(opened(**LOOPBACK), ("127.0.0.1", 80))
    assert client.get("/me", base_url=host).status_code == 302
