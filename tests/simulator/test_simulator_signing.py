"""Webhook tokens are what Vonage describes, and file requests are refused for each reason there is."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator import public_pem
from simulator.delivery import query_string
from simulator.signing import SIGNING_FAULTS, Signer, hash_body, hash_query, refusal

NOW = 1_800_000_000
SIGNER = Signer("a signature secret of more than 32 bytes", "a1b2c3d", "application")


def segments(authorization):
    scheme, token = authorization.split(" ")
    assert scheme == "Bearer"
    header, claims, signature = token.split(".")
    decode = lambda text: base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))  # noqa: E731
    return json.loads(decode(header)), json.loads(decode(claims)), decode(signature), f"{header}.{claims}"


def test_a_webhook_token_carries_the_published_claims_under_hs256():
    header, claims, signature, signed = segments(SIGNER.authorization("hash", NOW + 0.9))
    assert header == {"alg": "HS256", "typ": "JWT"}
    assert claims.pop("jti")
    assert claims == {
        "iat": NOW,
        "iss": "Vonage",
        "payload_hash": "hash",
        "api_key": "a1b2c3d",
        "application_id": "application",
    }
    assert signature == hmac.new(SIGNER.secret.encode(), signed.encode(), hashlib.sha256).digest()


def test_an_independent_library_accepts_a_webhook_token():
    token = SIGNER.authorization("hash", time.time()).removeprefix("Bearer ")
    assert jwt.decode(token, SIGNER.secret, algorithms=["HS256"], issuer="Vonage")["payload_hash"] == "hash"


def test_two_tokens_never_share_their_jti():
    tokens = [SIGNER.authorization("hash", NOW) for _ in range(20)]
    assert len({segments(token)[1]["jti"] for token in tokens}) == 20


@pytest.mark.parametrize("fault", SIGNING_FAULTS)
def test_each_signing_fault_spoils_one_thing(fault):
    authorization = SIGNER.authorization("hash", NOW, fault)
    if fault == "unsigned":
        assert authorization is None
        return
    header, claims, signature, signed = segments(authorization)
    genuine = hmac.new(SIGNER.secret.encode(), signed.encode(), hashlib.sha256).digest()
    wrong = {
        "wrong-hash": claims.get("payload_hash") not in (None, "hash"),
        "no-hash": "payload_hash" not in claims,
        "old-token": claims["iat"] < NOW - 86400,
        "future-token": claims["iat"] > NOW + 3600,
        "wrong-secret": header["alg"] == "HS256" and signature != genuine,
        "bad-iss": claims["iss"] != "Vonage",
        "alg-none": header["alg"] == "none" and signature == b"",
    }
    assert [name for name, is_wrong in wrong.items() if is_wrong] == [fault]


@given(st.binary(max_size=200))
def test_a_post_is_hashed_over_its_raw_bytes(body):
    assert hash_body(body) == hashlib.sha256(body).hexdigest()


def test_a_get_is_hashed_as_compact_json_in_the_order_of_the_query():
    parameters = [("to", "16105553939"), ("from", "14845552121"), ("name", "caf\u00e9/1")]
    text = '{"to":"16105553939","from":"14845552121","name":"caf\u00e9/1"}'
    assert hash_query(parameters) == hashlib.sha256(text.encode()).hexdigest()
    assert hash_query(parameters) != hash_query(parameters[::-1])


def test_a_get_carries_the_recording_url_unencoded_and_nested_values_as_json():
    query = query_string(
        {"recording_url": "https://api.nexmo.com/v1/files/1", "size": 18990, "payload": {"foo": "bar"}}
    )
    assert query == "recording_url=https://api.nexmo.com/v1/files/1&size=18990&payload=%7B%22foo%22%3A%22bar%22%7D"


def test_the_secret_shows_in_no_repr():
    assert SIGNER.secret not in repr(SIGNER)


def test_a_good_application_token_is_taken(private_key, application_token, application_id):
    token = f"Bearer {application_token()}"
    assert refusal(token, public_pem(private_key("ours")), application_id, time.time()) is None


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"exp": -1}, "expired"),
        ({"iat": None}, "iat"),
        ({"jti": None}, "jti"),
        ({"jti": ""}, "jti"),
        ({"exp": None}, "exp"),
        ({"exp": "tomorrow"}, "Unix seconds"),
        ({"iat": True}, "Unix seconds"),
        ({"exp": 25 * 3600}, "24 hours"),
        ({"iat": 600}, "future"),
        ({"nbf": 600}, "future"),
        ({"application_id": "another"}, "another application"),
        ({"application_id": None}, "another application"),
        ({"key": "theirs"}, "InvalidSignature"),
    ],
)
def test_each_bad_application_token_is_refused(private_key, application_token, application_id, changes, reason):
    now = int(time.time())
    moments = {
        name: now + value if type(value) is int and name in ("iat", "exp", "nbf") else value
        for name, value in changes.items()
    }
    why = refusal(f"Bearer {application_token(**moments)}", public_pem(private_key("ours")), application_id, now)
    assert why is not None
    assert reason in why


def test_the_public_key_used_as_an_hs256_secret_opens_nothing(private_key, application_id):
    pem, now = public_pem(private_key("ours")), int(time.time())
    claims = {"application_id": application_id, "iat": now, "jti": "1", "exp": now + 60}
    parts = [json.dumps(part).encode() for part in ({"alg": "HS256", "typ": "JWT"}, claims)]
    signed = ".".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts)
    mac = hmac.new(pem.encode(), signed.encode(), hashlib.sha256).digest()
    token = f"{signed}.{base64.urlsafe_b64encode(mac).rstrip(b'=').decode()}"
    assert refusal(f"Bearer {token}", pem, application_id, now) is not None


@pytest.mark.parametrize(
    "header", ["", "Bearer", "Bearer ", "Basic YTpi", "Bearer not.a.token", "Bearer \u00e9.\u00e9.\u00e9"]
)
def test_what_is_no_bearer_token_is_refused(private_key, application_id, header):
    assert refusal(header, public_pem(private_key("ours")), application_id, time.time()) is not None
