"""What looks like a secret is hidden, whatever is around it; what people need to read stays."""

from __future__ import annotations

import json
import logging
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from logs import configure_logging
from recordings.masking import masked

AZURE_KEY = "Zm9v" * 21 + "Zg=="
JWT = "eyJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJWb25hZ2UifQ.c2lnbmF0dXJl"

SECRET = {
    "a key in PEM": ("key: -----BEGIN PRIVATE KEY-----\nhunter2\n-----END PRIVATE KEY----- here", "key: *** here"),
    "a key in PEM that was cut off": ("-----BEGIN RSA PRIVATE KEY-----\\nhunter2", "***"),
    "a key file of Google": (
        '{"type": "x", "private_key": "hun\\"ter2", "a": 1}',
        '{"type": "x", "private_key": ***, "a": 1}',
    ),
    "a key file of Google that was cut off": ('"private_key": "hunter2', '"private_key": ***'),
    "a connection string": ("AccountName=a;AccountKey=hunter2==;X=y", "AccountName=a;AccountKey=***;X=y"),
    "a connection string with a signature": (
        "BlobEndpoint=https://a;SharedAccessSignature=sv=1&sig=hunter2;X=y",
        "BlobEndpoint=https://a;SharedAccessSignature=***;X=y",
    ),
    "a signed address": ("https://a/b?sv=1&sig=hunter2&se=2", "https://a/b?sv=1&sig=***&se=2"),
    "a password in a conninfo": ("host=h password=hunter2 port=1", "host=h password=*** port=1"),
    "a password in an address": ("at postgres://u:hunter2@h/d, away", "at postgres://***@h/d, away"),
    "a password with signs": ("postgres://u:hun@t/e?r#2@h/d", "postgres://***@h/d"),
    "a user alone, which may be a token": ("https://hunter2@h/d", "https://***@h/d"),
    "a bearer's token": ("Authorization: Bearer hunter2hunter2", "Authorization: Bearer ***"),
    "a password of Basic": ("Basic aHVudGVyOjI=", "Basic ***"),
    "a web token": (f"token {JWT} was refused", "token *** was refused"),
    "a token of ours": (f"tk_{'aB-_' * 10}xyz, revoked", "***, revoked"),
    "an account's key": (f"key {AZURE_KEY}.", "key ***."),
    "long base64": (f"is {'Ab1/' * 40}", "is ***"),
    "long base64 for URLs": (f"is {'Ab1_-' * 30}", "is ***"),
}

OPEN = (
    "file:///srv/recordings/2026/11/22/CON-cccccccc-dddd-eeee-ffff-0123456789ab/bbbbbbbb-cccc-dddd-eeee-0123456789ab.mp3",
    "gs://bucket/a@b az://container/prefix https://calls.example.com:8000/webhooks",
    "sha256 e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "write postgres://user:password@host/database",
    "a signature that does not match, a token that is too old, basic authentication",
    "file:///" + "very/long/path/" * 20,
    "",
)


@pytest.mark.parametrize("name", SECRET)
def test_what_looks_like_a_secret_is_masked(name):
    text, shown = SECRET[name]
    assert masked(text) == shown


@pytest.mark.parametrize("text", OPEN, ids=lambda text: text[:30])
def test_what_people_need_to_read_stays(text):
    assert masked(text) == text


PIECES = [
    "-----BEGIN",
    "-----END X-----",
    "://",
    "u:p@h",
    "sig=",
    "Bearer ",
    "eyJabcdefg.",
    "A1a" * 40,
    '"token": "',
    *'/@:" x=;*&',
]


@given(st.lists(st.sampled_from(PIECES) | st.text(max_size=3), max_size=12).map("".join))
def test_masking_again_changes_nothing(text):
    assert masked(masked(text)) == masked(text)


@pytest.mark.parametrize(
    "piece",
    [
        *("a.b-c+", "://a:", "A", "1a", "-----BEGIN", '"token":"', "sig=", "Basic ", "eyJ", "/"),
        *("-eyJ", "eyJ-", "-eyJ.", "://", "token =", '"a_', "-----BEGIN-----END-", "bearer\t"),
    ],
)
def test_a_very_long_text_is_masked_in_good_time(piece):
    began = time.perf_counter()
    masked(piece * (200_000 // len(piece)))
    assert time.perf_counter() - began < 5


@pytest.mark.parametrize("form", ["text", "json"])
def test_no_log_line_and_no_traceback_in_it_tells_a_secret(form, capsys):
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    configure_logging("INFO", form)
    try:
        try:
            raise RuntimeError("cannot reach ftp://archiver:hunter2@files.example")
        except RuntimeError:
            logging.getLogger("tests").exception("With %s", "Bearer hunter2hunter2")
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)
    told = capsys.readouterr().err
    assert "hunter2" not in told
    assert "ftp://***@files.example" in told
    assert form == "text" or json.loads(told)["message"] == "With Bearer ***"


@pytest.mark.parametrize("form", ["text", "json"])
def test_a_log_line_ends_where_nobody_reads_on_and_cuts_no_secret_in_two(form, capsys):
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    configure_logging("INFO", form)
    try:
        for length in range(65_480, 65_540):  # the end of the line moves through the secret
            logging.getLogger("tests").error("%s token=hunter2hunter2 %s", "x" * length, "y" * 1_000_000)
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)
    printed = capsys.readouterr().err
    assert "hunter" not in printed
    assert len(printed) < 60 * 70_000
    assert "characters more" in printed
