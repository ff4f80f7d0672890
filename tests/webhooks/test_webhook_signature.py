"""Nothing passes but what one of the secrets signed, unchanged and lately; nothing a sender writes raises."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import string
from urllib.parse import urlencode

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from webhooks.signature import SignatureStatus, Verifier

NOW = 1_700_000_000
SECRETS = ("old and short", "a newer secret, long enough for everybody's taste")
VERIFIER = Verifier(SECRETS, clock=lambda: NOW)


def check(authorization, body=b"{}", method="POST", query="", verifier=VERIFIER):
    return verifier.check(method, {"Authorization": authorization} if authorization else {}, query, body)


@given(body=st.binary(max_size=200), secret=st.sampled_from(SECRETS))
def test_any_signed_body_is_valid(signer, body, secret):
    verdict = check(signer(body, secret=secret), body)
    assert verdict.status is SignatureStatus.VALID, verdict.reason
    assert verdict.application_id == "aaaaaaaa-bbbb-cccc-dddd-0123456789ab"
    assert (verdict.jti, verdict.api_key) == ("c5ba8f24-1a14-4c10-bfdf-3fbe8ce511b5", "a1b2c3d")


@given(body=st.binary(min_size=1, max_size=200), place=st.integers(0, 199), change=st.integers(1, 255))
def test_any_changed_byte_of_the_body_is_refused(signer, body, place, change):
    place %= len(body)
    changed = body[:place] + bytes([body[place] ^ change]) + body[place + 1 :]
    assert check(signer(body), changed).status is SignatureStatus.BAD


@given(place=st.integers(0, 10_000), letter=st.sampled_from(string.ascii_letters + string.digits + "-_.=~"))
def test_any_changed_letter_of_the_token_is_refused(signer, place, letter):
    token = signer(b"{}").removeprefix("Bearer ")
    place %= len(token)
    changed = token[:place] + letter + token[place + 1 :]
    expected = SignatureStatus.VALID if changed == token else SignatureStatus.BAD
    assert check(f"Bearer {changed}").status is expected


@given(st.text(max_size=100), st.sampled_from(["Bearer ", "bearer\t ", "BEARER a.b.", "", "Basic "]))
def test_garbage_never_raises_and_never_passes(text, start):
    assert check(start + text).status is not SignatureStatus.VALID


SECRET_TEXT = st.text(st.characters(codec="ascii", categories=["L", "N"]), min_size=32, max_size=60)


@pytest.mark.filterwarnings("ignore::jwt.warnings.InsecureKeyLengthWarning")
@given(secret=SECRET_TEXT, body=st.binary(max_size=50))
def test_what_pyjwt_signs_is_valid(secret, body):
    claims = {"iat": NOW, "jti": "j", "iss": "Vonage", "payload_hash": hashlib.sha256(body).hexdigest()}
    token = jwt.encode(claims, secret, algorithm="HS256")
    verdict = check(f"Bearer {token}", body, verifier=Verifier((secret,), clock=lambda: NOW))
    assert verdict.status is SignatureStatus.VALID
    assert verdict.application_id is None


@pytest.mark.filterwarnings("ignore::jwt.warnings.InsecureKeyLengthWarning")
@pytest.mark.parametrize("algorithm", ["none", "HS384", "HS512"])
def test_another_algorithm_is_refused_also_with_the_right_secret(algorithm):
    claims = {"iat": NOW, "jti": "j", "iss": "Vonage", "payload_hash": hashlib.sha256(b"{}").hexdigest()}
    token = jwt.encode(claims, None if algorithm == "none" else SECRETS[1], algorithm=algorithm)
    assert check(f"Bearer {token}").status is SignatureStatus.BAD


@pytest.mark.parametrize("header", [{}, {"alg": "none"}, {"alg": ["HS256"]}, {"alg": "HS256", "crit": ["b64"]}, [], 5])
def test_a_signed_header_that_is_not_hs256_is_refused(signer, header):
    assert check(signer(b"{}", header=header)).status is SignatureStatus.BAD


@pytest.mark.parametrize(
    "claims",
    [
        {"iss": "Nexmo"},
        {"iss": ["Vonage"]},
        {"iat": NOW - 901},
        {"iat": NOW + 61},
        {"iat": str(NOW)},
        {"iat": True},
        {"iat": float("nan")},
        {"iat": 10**400},
        {"exp": NOW - 61},
        {"exp": "tomorrow"},
        {"jti": ""},
        {"jti": 7},
        {"jti": "j\n"},
        {"jti": "j" * 256},
        {"application_id": "a\u0000"},
        {"application_id": {}},
        {"api_key": 5},
        {"payload_hash": "0" * 64},
        {"payload_hash": ""},
        {"payload_hash": "é\ud800"},
        {"payload_hash": None},
        {"without": ["iat"]},
        {"without": ["iss"]},
        {"without": ["jti"]},
        {"without": ["payload_hash"]},
    ],
    ids=repr,
)
def test_a_signed_token_with_wrong_claims_is_refused(signer, claims):
    verdict = check(signer(b"{}", **claims))
    assert verdict.status is SignatureStatus.BAD
    assert verdict.reason


@pytest.mark.parametrize(
    "claims",
    [
        {"iat": NOW - 899},
        {"iat": NOW + 59},
        {"iat": NOW - 0.5},
        {"exp": NOW + 5},
        {"payload_hash": hashlib.sha256(b"{}").hexdigest().upper()},
        {"application_id": None},
        {"without": ["api_key", "application_id"]},
    ],
    ids=repr,
)
def test_what_the_documentation_leaves_open_is_accepted(signer, claims):
    assert check(signer(b"{}", **claims)).status is SignatureStatus.VALID


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
def test_the_scheme_may_be_written_in_any_case(signer, scheme):
    assert check(signer(b"{}").replace("Bearer", scheme)).status is SignatureStatus.VALID


@pytest.mark.parametrize("authorization", ["", "Basic dTpw", "Token x.y.z"])
def test_without_a_bearer_token_a_request_is_unsigned(authorization):
    assert check(authorization).status is SignatureStatus.UNSIGNED


@pytest.mark.parametrize(
    "token",
    ["Bearer", "Bearer ", "Bearer x", "Bearer ..", "Bearer a.b.c.d", "Bearer " + "a" * 8000 + ".b.c", "Bearer é.ü.ß"],
    ids=lambda token: token[:14],
)
def test_a_token_that_is_none_is_bad(token):
    assert check(token).status is SignatureStatus.BAD


@pytest.mark.parametrize("claims", [b"[" * 2000 + b"]" * 2000, b"no json", b"\xff", b"[]", b"null", b'{"iat": 1e}'])
def test_signed_claims_that_are_no_json_object_are_bad(claims):
    parts = [base64.urlsafe_b64encode(part).rstrip(b"=") for part in (b'{"alg":"HS256"}', claims)]
    made = hmac.digest(SECRETS[0].encode(), b".".join(parts), "sha256")
    token = b".".join([*parts, base64.urlsafe_b64encode(made).rstrip(b"=")])
    assert len(token) < 8192
    assert check(f"Bearer {token.decode()}").status is SignatureStatus.BAD


def test_without_any_secret_nothing_is_judged(signer):
    assert check(signer(b"{}"), verifier=Verifier((), allow_unsigned=True)).status is SignatureStatus.UNSIGNED


def test_a_secret_that_is_gone_no_longer_counts(signer):
    verifier = Verifier(SECRETS[1:], clock=lambda: NOW)
    assert check(signer(b"{}", secret=SECRETS[0]), verifier=verifier).status is SignatureStatus.BAD
    assert check(signer(b"{}", secret=SECRETS[1]), verifier=verifier).status is SignatureStatus.VALID


def test_no_secret_shows_itself():
    assert "short" not in repr(VERIFIER)
    assert "secret" not in repr(VERIFIER)


@pytest.mark.parametrize("secret", ["", "-----BEGIN PRIVATE KEY-----\nabc", "ssh-rsa AAAAB3NzaC1yc2E= somebody"])
def test_what_can_be_no_secret_is_told_at_the_start(secret):
    with pytest.raises(ValueError, match="VONAGE_SIGNATURE_SECRET"):
        Verifier((secret,))


# Over GET the hash covers the query as compact JSON; the documentation leaves the spelling open.
FIELDS = st.dictionaries(
    st.text(st.characters(codec="utf-8"), min_size=1, max_size=8),
    st.text(st.characters(codec="utf-8"), max_size=12),
    min_size=1,
    max_size=5,
)


@given(fields=FIELDS, ours=st.booleans(), ascii_only=st.booleans())
def test_a_get_is_valid_in_each_spelling_of_its_query(signer, fields, ours, ascii_only):
    fields = {name: value for name, value in fields.items() if name not in ("flow", "name", "role")}
    sent = {"flow": "call"} | fields
    covered = sent if ours else fields
    payload = json.dumps(covered, separators=(",", ":"), ensure_ascii=ascii_only).encode()
    verdict = check(signer(payload), b"", "GET", urlencode(sent))
    assert verdict.status is SignatureStatus.VALID, verdict.reason


@given(fields=FIELDS, more=st.text(st.characters(codec="utf-8"), min_size=1, max_size=12))
def test_a_changed_parameter_of_a_get_is_refused(signer, fields, more):
    payload = json.dumps(fields, separators=(",", ":")).encode()
    name = next(reversed(fields))
    verdict = check(signer(payload), b"", "GET", urlencode(fields | {name: fields[name] + more}))
    assert verdict.status is SignatureStatus.BAD or name in ("flow", "name", "role")


def test_a_parameter_put_before_the_signed_one_is_not_what_counts(signer):
    fields = {"recording_url": "https://api.nexmo.com/v1/files/a"}
    query = urlencode({"recording_url": "https://evil.example/"}) + "&" + urlencode(fields)
    assert (
        check(signer(json.dumps(fields, separators=(",", ":")).encode()), b"", "GET", query).status
        is SignatureStatus.VALID
    )
