"""The settings that open the console's door: what each takes, and which go together."""

from __future__ import annotations

import pytest

from settings import SettingsError, load

GOOD = [
    ("CONSOLE_PASSWORD", " correct horse battery ", "correct horse battery"),
    ("AUTH_ROLE", "Listener", "listener"),
    ("PROXY_HOPS", "1", 1),
    ("AUTH_ROLE", "", "viewer"),
]

BAD = [
    ("CONSOLE_PASSWORD", "2secret", "12 characters or more"),
    ("CONSOLE_PASSWORD", "2secret" + "\x00" * 9 + "x", "12 characters or more"),
    ("AUTH_HEADER", "X-Remote-User:", "X-Remote-User"),
    ("AUTH_HEADER", "X_Remote_User", "X-Remote-User"),
    ("AUTH_HEADER", "Authorization", "X-Remote-User"),
    ("AUTH_PROXIES", "proxy.example", "10.0.0.5"),
    ("AUTH_PROXIES", "10.0.0.5 0.0.0.0/0", "10.0.0.0/24"),
    ("AUTH_PROXIES", "::/0", "10.0.0.0/24"),
    ("AUTH_ROLE", "root", "viewer, listener, operator, admin"),
    ("PROXY_HOPS", "10", "0 to 9"),
    ("DEMO_DOOR", "perhaps", "true or false"),
]


@pytest.mark.parametrize(("name", "text", "value"), GOOD)
def test_a_good_value_is_understood(name, text, value):
    assert getattr(load({name: text}), name.lower()) == value


@pytest.mark.parametrize(("name", "text", "mend"), BAD)
def test_a_wrong_value_says_what_to_write_and_shows_no_password(name, text, mend):
    with pytest.raises(SettingsError) as caught:
        load({name: text})
    assert str(caught.value).startswith(f"{name} is ")
    assert mend in str(caught.value)
    assert "2secret" not in str(caught.value)


def test_no_backend_sees_the_password():
    assert "CONSOLE_PASSWORD" not in load({"CONSOLE_PASSWORD": "correct horse battery"}).backend_env


PROXY = {"AUTH_HEADER": "X-Remote-User", "AUTH_PROXIES": "10.0.0.5, 10.1.2.3/16;2001:db8::/32"}


def test_a_header_needs_the_addresses_of_its_proxy_and_the_reverse():
    assert load(PROXY).auth_proxies == ("10.0.0.5/32", "10.1.0.0/16", "2001:db8::/32")
    for name, missing in (("AUTH_HEADER", "AUTH_PROXIES"), ("AUTH_PROXIES", "AUTH_HEADER")):
        with pytest.raises(SettingsError, match=f"^{missing} is not set: "):
            load({name: PROXY[name]})


@pytest.mark.parametrize("url", ["http://127.0.0.1:8000", "http://[::1]:8000", "http://localhost", "https://127.9.9.9"])
def test_the_demos_door_goes_with_a_loopback_address(url):
    assert load({"DEMO_DOOR": "true", "PUBLIC_URL": url}).demo_door


@pytest.mark.parametrize("url", ["", "https://calls.example.com", "http://127.0.0.1.example.com", "http://10.0.0.5"])
def test_the_demos_door_stops_the_start_with_any_other_address(url):
    with pytest.raises(SettingsError, match=r"^DEMO_DOOR is 'true': take it out"):
        load({"DEMO_DOOR": "true", "PUBLIC_URL": url})
