"""The application's key in every form that people have it in, and the token made with it."""

from __future__ import annotations

import base64
import os

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from recordings.archive.credentials import ApplicationToken, load_private_key


def pem(key, form=PrivateFormat.PKCS8, encryption=None):
    return key.private_bytes(Encoding.PEM, form, encryption or NoEncryption()).decode()


@pytest.fixture(scope="module", params=[PrivateFormat.PKCS8, PrivateFormat.TraditionalOpenSSL], ids=["pkcs8", "pkcs1"])
def text(request, rsa_key):
    return pem(rsa_key, request.param)


FORMS = {
    "pem": lambda text: text,
    "without its last line end": lambda text: text.strip(),
    "windows line ends": lambda text: text.replace("\n", "\r\n"),
    "literal line ends": lambda text: text.replace("\n", "\\n"),
    "literal line ends in quotes": lambda text: '"' + text.replace("\n", "\\n") + '"',
    "in single quotes": lambda text: f"'{text}'",
    "blanks around": lambda text: f"\n  {text}  \n",
    "spaces for line ends": lambda text: text.strip().replace("\n", " "),
    "all on one line": lambda text: text.replace("KEY-----\n", "KEY-----").replace("\n-----END", "-----END").strip(),
    "base64": lambda text: base64.b64encode(text.encode()).decode(),
    "base64 in lines": lambda text: base64.encodebytes(text.encode()).decode(),
    "literal windows line ends": lambda text: text.replace("\n", "\\r\\n"),
    "base64 of a byte-order mark and it": lambda text: base64.b64encode(text.encode("utf-8-sig")).decode(),
    "base64 in quotes": lambda text: f'"{base64.b64encode(text.encode()).decode()}"',
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_is_taken(text, rsa_key, form):
    assert load_private_key(FORMS[form](text)).private_numbers() == rsa_key.private_numbers()


@pytest.mark.parametrize("write", [str, lambda path: f" {path}\n", lambda path: f'"{path}"'])
def test_a_path_is_taken(text, rsa_key, tmp_path, write):
    path = tmp_path / "private.key"
    path.write_text(text)
    assert load_private_key(write(path)).private_numbers() == rsa_key.private_numbers()


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_a_key_file_may_begin_with_a_byte_order_mark(text, rsa_key, tmp_path, encoding):
    path = tmp_path / "private.key"
    path.write_text(text, encoding)
    assert load_private_key(str(path)).private_numbers() == rsa_key.private_numbers()


@pytest.fixture
def as_nobody():
    """A user who may read no file of ours: a file of root's for user nobody, or our own without the right to read."""
    is_root = os.geteuid() == 0
    if is_root:
        os.seteuid(65534)
    yield
    if is_root:
        os.seteuid(0)


def test_a_key_file_of_another_user_is_told_from_one_that_is_not_there(text, tmp_path, request):
    for folder in (tmp_path, *tmp_path.parents[:3]):
        if folder.stat().st_uid == os.geteuid():
            folder.chmod(0o755)
    path = tmp_path / "private.key"
    path.write_text(text)
    path.chmod(0o600 if os.geteuid() == 0 else 0)
    request.getfixturevalue("as_nobody")
    with pytest.raises(ValueError, match="permission denied: let the user that this app runs as read it"):
        load_private_key(str(path))


def test_a_path_below_home_is_taken(text, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "private.key").write_text(text)
    assert load_private_key("~/private.key")


# --- What is refused --------------------------------------------------------------------------------------------------


def encrypted(key, form=PrivateFormat.PKCS8):
    return pem(key, form, BestAvailableEncryption(b"a password"))


WRONG = {
    "encrypted": (encrypted, "encrypted"),
    "encrypted pkcs1": (lambda key: encrypted(key, PrivateFormat.TraditionalOpenSSL), "encrypted"),
    "elliptic": (lambda key: pem(ec.generate_private_key(ec.SECP256R1())), "no RSA key"),
    "edwards": (lambda key: pem(ed25519.Ed25519PrivateKey.generate()), "no RSA key"),
    "public": (
        lambda key: key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode(),
        "not a whole PEM private key",
    ),
    "first half": (lambda key: pem(key)[:800], "not a whole PEM private key"),
    "one line lost": (lambda key: "\n".join(pem(key).split("\n")[:5] + pem(key).split("\n")[6:]), "not a whole"),
    "only its head": (lambda key: "-----BEGIN PRIVATE KEY-----", "not a whole PEM private key"),
    "the beginning of its head": (lambda key: "-----BEGIN", "not a whole PEM private key"),
    "a body without head": (lambda key: "".join(pem(key).split("\n")[1:-2]), "no such file"),
    "garbage": (lambda key: "correct horse battery staple", "no such file"),
    "no file": (lambda key: "/nowhere/private.key", "no such file"),
    "no home": (lambda key: "~nobody-of-this-name/private.key", "no such file"),
    "a folder": (lambda key: "/", "it is a folder"),
    "a zero": (lambda key: "private\0key", "no such file"),
    "umlauts": (lambda key: pem(key).replace("A", "Ä"), "not a whole PEM private key"),
}


@pytest.mark.parametrize("name", WRONG)
def test_anything_else_is_refused_with_what_to_write_and_without_the_key(rsa_key, name):
    make, reason = WRONG[name]
    wrong = make(rsa_key)
    with pytest.raises(ValueError, match=reason) as caught:
        load_private_key(wrong)
    message = str(caught.value)
    assert "paste the application's private.key" in message
    assert "path" in message
    assert caught.value.__cause__ is None
    secret = "".join(wrong.split())
    assert len(secret) < 40 or not any(secret[n : n + 12] in message for n in range(40, len(secret) - 12))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200)
@given(st.text(max_size=80) | st.text(max_size=60).map(lambda text: f"-----BEGIN{text}"))
def test_no_text_fails_otherwise(text):
    with pytest.raises(ValueError, match="paste the application's"):
        load_private_key(text)


# --- The token --------------------------------------------------------------------------------------------------------


@pytest.fixture
def token(rsa_key, clock):
    names = iter("abc")
    return ApplicationToken("the-application", rsa_key, clock=clock, new_id=lambda: next(names))


def test_its_claims_are_those_that_vonage_wants(token, rsa_key, clock):
    minted = token.mint()
    assert jwt.get_unverified_header(minted) == {"alg": "RS256", "typ": "JWT"}
    claims = jwt.decode(minted, rsa_key.public_key(), algorithms=["RS256"], options={"verify_exp": False})
    now = int(clock().timestamp())
    assert claims == {"application_id": "the-application", "iat": now - 10, "jti": "a", "exp": now + 590}


def test_each_is_another(token):
    assert token.mint() != token.mint()


def test_its_public_half_is_what_a_pretend_vonage_needs(token, rsa_key):
    wanted = rsa_key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    assert token.public_pem() == wanted


def test_it_shows_no_key(token):
    assert repr(token) == "ApplicationToken('the-application')"
