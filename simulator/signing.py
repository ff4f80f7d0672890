"""Signatures of both directions: the webhooks that Vonage signs, the application tokens that it checks.

Here live only tokens. Webhook tokens are made by hand from the published description, with no JWT library and nothing
of the application's, so that a mistake in its verification cannot hide behind the same mistake here.
https://developer.vonage.com/en/getting-started/concepts/webhooks
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

DAY = 24 * 3600

# Tells the time in Unix seconds.
Clock = Callable[[], float]

# What can be wrong with a webhook's token, by name.
SIGNING_FAULTS = (
    "wrong-hash",
    "no-hash",
    "old-token",
    "future-token",
    "wrong-secret",
    "bad-iss",
    "alg-none",
    "unsigned",
)


@dataclass(frozen=True)
class Signer:
    """Signs webhooks as the account with this `api_key` and signature secret, for one application."""

    secret: str = field(repr=False)
    api_key: str
    application_id: str

    def authorization(self, payload_hash: str, now: float, fault: str | None = None) -> str | None:
        """The `Authorization` header for a payload, or None when the fault is to send none.

        `now` is in Unix seconds. There is no `exp`: Vonage sends none.
        """
        if fault == "unsigned":
            return None
        header = {"alg": "none" if fault == "alg-none" else "HS256", "typ": "JWT"}
        secret = "not-the-secret-of-this-account-at-all" if fault == "wrong-secret" else self.secret
        signed = f"{_segment(header)}.{_segment(self._claims(payload_hash, int(now), fault))}"
        signature = hmac.new(secret.encode(), signed.encode(), hashlib.sha256).digest()
        return f"Bearer {signed}.{'' if fault == 'alg-none' else _encode(signature)}"

    def _claims(self, payload_hash: str, now: int, fault: str | None) -> dict[str, Any]:
        claims: dict[str, Any] = {
            "iat": {"old-token": now - 366 * DAY, "future-token": now + DAY}.get(fault or "", now),
            "jti": str(uuid.uuid4()),
            "iss": "Nexmo" if fault == "bad-iss" else "Vonage",
            "payload_hash": hashlib.sha256(b"another body").hexdigest() if fault == "wrong-hash" else payload_hash,
            "api_key": self.api_key,
            "application_id": self.application_id,
        }
        if fault == "no-hash":
            del claims["payload_hash"]
        return claims


def _segment(value: Mapping[str, Any]) -> str:
    return _encode(json.dumps(value, separators=(",", ":")).encode())


def _encode(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def hash_body(body: bytes) -> str:
    """`payload_hash` of a POST: SHA-256 of the bytes of the body, lower-case hex."""
    return hashlib.sha256(body).hexdigest()


def hash_query(parameters: Iterable[tuple[str, str]]) -> str:
    """`payload_hash` of a GET: SHA-256 over the query as a compact JSON object of strings, in the query's order.

    https://api.support.vonage.com/hc/en-us/articles/19033783342876 - nobody publishes how a slash or a letter beyond
    ASCII is written; here as JavaScript's JSON.stringify does: both as they are.
    """
    compact = json.dumps(dict(parameters), separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(compact.encode()).hexdigest()


def refusal(authorization: str, public_key_pem: str | bytes, application_id: str, now: float) -> str | None:
    """Why an `Authorization` header does not open the files of this application; None when it does.

    Wanted is `Bearer` and a token signed with RS256 that carries application_id, iat, jti and exp, is in force, and
    lives no longer than a day. https://developer.vonage.com/en/getting-started/concepts/authentication#json-web-tokens
    """
    scheme, _, token = authorization.partition(" ")
    if scheme.lower() != "bearer" or not token:
        return "no bearer token"
    try:
        claims = jwt.decode(
            token,
            _public_key(public_key_pem),
            algorithms=["RS256"],
            # Times are compared below, with the caller's clock.
            options={"verify_exp": False, "verify_iat": False, "verify_nbf": False, "require": ["iat", "jti", "exp"]},
        )
    except jwt.InvalidTokenError as error:
        return f"{type(error).__name__}: {error}"
    return _claims_refusal(claims, application_id, now)


@cache
def _public_key(pem: str | bytes) -> RSAPublicKey:
    """Parsed once, not for each request."""
    key = load_pem_public_key(pem.encode() if isinstance(pem, str) else pem)
    if not isinstance(key, RSAPublicKey):
        raise ValueError("A Vonage application's public key is an RSA key.")
    return key


def _claims_refusal(claims: Mapping[str, Any], application_id: str, now: float) -> str | None:
    times = [claims["iat"], claims["exp"], claims.get("nbf", 0)]
    if not all(isinstance(value, int | float) and not isinstance(value, bool) for value in times):
        return "iat, exp and nbf must be Unix seconds"
    issued, expires, not_before = times
    checks: list[tuple[bool, str]] = [
        (claims.get("application_id") != application_id, "the token is another application's"),
        (not claims["jti"], "jti is empty"),
        (expires <= now, "the token has expired"),
        (issued > now + 1 or not_before > now + 1, "the token is from the future"),
        (expires - issued > DAY, "the token lives longer than 24 hours"),
    ]
    return next((reason for wrong, reason in checks if wrong), None)


def public_pem(private_pem: str | bytes) -> str:
    """The public half of an RSA private key, both PEM."""
    raw = private_pem.encode() if isinstance(private_pem, str) else private_pem
    key = load_pem_private_key(raw, password=None).public_key()
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
