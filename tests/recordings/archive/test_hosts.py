"""Whom the token may be shown: the rule that keeps the application's credentials at Vonage."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from urllib3.util import parse_url

from recordings.archive.hosts import HostRule

DEFAULT = HostRule.parse([".nexmo.com", ".vonage.com"])

GOOD = [
    "https://api.nexmo.com/v1/files/aaaaaaaa-bbbb-cccc-dddd-0123456789ab",
    "https://api.nexmo.com/media/download?id=aaaaaaaa-bbbb-cccc-dddd-0123456789ab",
    "https://api-us.nexmo.com/v1/files/x",
    "https://api-eu.vonage.com/v1/files/x",
    "https://api-us-3.vonage.com/v1/files/x",
    "https://api-sg-1.nexmo.com/v1/files/x",
    "https://api-gb-1.vonage.com:443/v1/files/x.wav",
    "https://nexmo.com/x",
    "https://API.NEXMO.COM/v1/files/x",
    "HTTPS://api.nexmo.com/v1/files/x",
    "https://api.nexmo.com./v1/files/x",
    "https://api.nexmo.com:/v1/files/x",
    "https://api.nexmo.com",
    "https://api.nexmo.com?x=1",
    "https://api.nexmo.com/v1/files/x#@evil.example",
    "https://api.nexmo.com/@evil.example/",
]

EVIL = [
    "http://api.nexmo.com/v1/files/x",
    "ftp://api.nexmo.com/x",
    "//api.nexmo.com/v1/files/x",
    "api.nexmo.com/v1/files/x",
    "/v1/files/x",
    "",
    "https://",
    "https:///v1/files/x",
    "https://evil.example/?x=vonage.com",
    "https://evil.example/vonage.com",
    "https://evil.example/.nexmo.com/",
    "https://evil.example/#.nexmo.com",
    "https://evilnexmo.com/v1/files/x",
    "https://api.nexmo.com.evil.example/v1/files/x",
    "https://nexmo.com.evil.example",
    "https://api.nexmo.comx/",
    "https://api.nexmo.cn/",
    "https://api.nexmocn.com/v1/files/x",
    "https://api.nexmo.com@evil.example/v1/files/x",
    "https://api.nexmo.com:443@evil.example/",
    "https://user:secret@api.nexmo.com/v1/files/x",
    "https://@api.nexmo.com/",
    "https://api.nexmo.com:8443/v1/files/x",
    "https://api.nexmo.com:80/v1/files/x",
    "https://api.nexmo.com:0/v1/files/x",
    "https://api.nexmo.com:443:80/",
    "https://api.nexmo.com:443x/",
    "https://api.nexmo.com:99999/",
    "https://api.nexmo.com:-443/",
    "https://evil.example\\@api.nexmo.com/",
    "https://evil.example\\.nexmo.com/",
    "https:\\\\api.nexmo.com/",
    "https://evil.example%2f.nexmo.com/",
    "https://evil.example%00.nexmo.com/",
    "https://evil.example%23.nexmo.com/",
    "https://evil.example\u2024nexmo.com/",
    "https://api.nexmo\u3002com/",
    "https://api\u3002nexmo.com/",
    "https://\u24d0pi.nexmo.com/",
    "https://evil.example/\u2100.nexmo.com",
    "https://evil.example\n.nexmo.com/",
    "https://evil.example\t.nexmo.com/",
    "https://evil.example .nexmo.com/",
    " https://api.nexmo.com/",
    "https://api.nexmo.com/ x",
    "https://evil.example\0.nexmo.com/",
    "https://[::1].nexmo.com/",
    "https://[api.nexmo.com]/",
    "https://[::ffff:127.0.0.1]/",
    "https://127.0.0.1/",
    "https://.nexmo.com/",
    "https://-.nexmo.com/",
    "https://evil.example;.nexmo.com/",
    "https://evil.example,.nexmo.com/",
    "https://evil_.nexmo.com/",
    "https://$.nexmo.com/",
    "file:///etc/passwd",
    "javascript:alert(1)//api.nexmo.com",
]


@pytest.mark.parametrize("url", GOOD)
def test_vonages_hosts_may_see_the_token(url):
    assert DEFAULT.allows(url)


@pytest.mark.parametrize("url", EVIL, ids=ascii)
def test_nobody_else_may(url):
    assert not DEFAULT.allows(url)


HOSTS = st.sampled_from(["api.nexmo.com", "nexmo.com", "vonage.com", "evil.example", "127.0.0.1", "[::1]", "x"])
GLUE = st.text(alphabet="@:/\\?#.%;,_-[] \t\n\0é\u3002\u2024xX0123456789", max_size=4)
SCHEMES = st.sampled_from(["https://", "http://", "HTTPS://", "https:", "//", "https:/", "https:\\\\", ""])
MONGRELS = st.tuples(SCHEMES, GLUE, HOSTS, GLUE, HOSTS, GLUE, HOSTS | GLUE).map("".join)


@given(MONGRELS | st.text(max_size=40) | st.text(max_size=20).map(lambda text: f"https://{text}.nexmo.com/"))
def test_what_is_allowed_leads_every_parser_to_vonage(url):
    if not DEFAULT.allows(url):
        return
    parts = parse_url(url)  # the parser that the request itself goes by
    host = parts.host.lower().rstrip(".")
    assert parts.scheme == "https"
    assert parts.auth is None
    assert parts.port in (None, 443)
    assert host in ("nexmo.com", "vonage.com") or host.endswith((".nexmo.com", ".vonage.com"))


LABELS = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,20}[a-z0-9])?", fullmatch=True)


@given(LABELS, st.sampled_from(["nexmo.com", "vonage.com"]))
def test_a_new_region_is_vonages_without_our_help(label, domain):
    assert DEFAULT.allows(f"https://{label}.{domain}/v1/files/x")
    assert not DEFAULT.allows(f"https://{label}{domain}/v1/files/x")
    assert not DEFAULT.allows(f"https://{label}.{domain}.example/v1/files/x")


# --- RECORDING_HOSTS --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("entry", "allowed", "refused"),
    [
        ("api.nexmo.com", "https://api.nexmo.com/x", "https://api-us.nexmo.com/x"),
        ("api.nexmo.com", "https://api.nexmo.com/x", "https://x.api.nexmo.com/x"),
        (".nexmocn.com", "https://api.nexmocn.com/x", "https://api.nexmo.com/x"),
        (".NexmoCN.com", "https://api.nexmocn.com/x", "http://api.nexmocn.com/x"),
        ("http://127.0.0.1:4010", "http://127.0.0.1:4010/v1/files/x", "http://127.0.0.1:4011/v1/files/x"),
        ("http://127.0.0.1:4010/", "http://127.0.0.1:4010/v1/files/x", "https://127.0.0.1:4010/v1/files/x"),
        ("http://127.0.0.1:4010", "http://127.0.0.1:4010/", "http://x.127.0.0.1:4010/"),
        ("http://127.0.0.1:4010", "http://127.0.0.1:4010/", "http://a@127.0.0.1:4010/"),
        ("http://localhost", "http://localhost/x", "http://localhost:8080/x"),
        ("http://localhost", "http://localhost:80/x", "https://localhost/x"),
        ("https://Archive.Example", "https://archive.example/x", "https://www.archive.example/x"),
        ("https://archive.example:8443", "https://archive.example:8443/x", "https://archive.example/x"),
        ("http://[::1]:4010", "http://[::1]:4010/x", "http://[::2]:4010/x"),
    ],
)
def test_an_entry_allows_what_it_says_and_no_more(entry, allowed, refused):
    rule = HostRule.parse([entry])
    assert rule.allows(allowed)
    assert not rule.allows(refused)


def test_no_entry_allows_nothing():
    assert not HostRule.parse([]).allows("https://api.nexmo.com/x")


@pytest.mark.parametrize(
    "entry",
    [
        *("*", "*.nexmo.com", ".", "", "api.nexmo.com/v1", "api.nexmo.com:443", "-x.com", "a b", "nexmo.com/", "ü"),
        *("ftp://x", "http://", "http://a@b", "http://x/path", "http://x?y", "http://x:port", "://x", "http://[x"),
    ],
)
def test_an_entry_that_is_none_is_refused_with_what_to_write(entry):
    with pytest.raises(ValueError, match=r"is no (host|origin): write .*127\.0\.0\.1:4010"):
        HostRule.parse([".nexmo.com", entry])
