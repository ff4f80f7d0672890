"""Is this webhook from Vonage? The signed token and the payload hash, judged as a pure function of the request.

No Flask, no database, no settings here: values in, a verdict out. What follows from a verdict is decided elsewhere.

Voice webhooks carry `Authorization: Bearer <JWT>`, HS256 with the account's signature secret, and no `exp`: the age is
checked against `iat`. https://developer.vonage.com/en/getting-started/concepts/webhooks#decoding-signed-webhooks
"""

from __future__ import annotations

import hashlib
import hmac
import json
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Protocol

import jwt
from jwt.algorithms import HMACAlgorithm

from .payload import MAX_ID, read_query, storable

ISSUER = "Vonage"
MAX_TOKEN = 8192  # a real one has some 500 characters; servers cut headers at about this length

# The parameters that we write into the URLs that Vonage calls: the documentation does not say whether the hash of a GET
# covers them, too.
OUR_PARAMETERS = frozenset({"flow", "name", "role"})


class Headers(Protocol):
    """A request's headers: Werkzeug's, or a plain dictionary."""

    def get(self, key: str, default: str, /) -> str: ...


class SignatureStatus(Enum):
    """What a request's signature proves."""

    VALID = "valid"
    UNSIGNED = "unsigned"
    BAD = "bad"


@dataclass(frozen=True, slots=True)
class Verdict:
    """The judgement on one request. `reason` is for the log alone: a sender learns nothing from a signature that fails.

    `application_id`, `jti` and `api_key` are the token's, and set only where it is valid.
    """

    status: SignatureStatus
    reason: str = ""
    application_id: str | None = None
    jti: str | None = None
    api_key: str | None = None


def verify(
    method: str,
    headers: Headers,
    query: str,
    body: bytes,
    secrets: tuple[bytes, ...],
    now: float,
    *,
    max_age: float = 900,
    leeway: float = 60,
) -> Verdict:
    """Judge one request: `query` and `body` raw, `now` in unix seconds, `max_age` and `leeway` in seconds.

    Never raises, whatever the sender wrote.
    """
    scheme, _, token = headers.get("Authorization", "").strip().partition(" ")
    if scheme.lower() != "bearer":
        return Verdict(SignatureStatus.UNSIGNED, "no Bearer token")
    claims = _claims(token.strip(), secrets)
    if isinstance(claims, str):
        return Verdict(SignatureStatus.BAD, claims)
    fault = _fault(claims, now, max_age, leeway)
    if not fault and not _covers(claims["payload_hash"], method, query, body):
        fault = "the payload hash differs: the payload is not the one that was signed"
    if fault:
        return Verdict(SignatureStatus.BAD, fault)
    return Verdict(
        SignatureStatus.VALID, "", claims.get("application_id") or None, claims["jti"], claims.get("api_key")
    )


class _AnyLength(HMACAlgorithm):
    """HS256 with a secret of any length: Vonage hands out some below 32 bytes, of which PyJWT warns at each request.

    PyJWT also checks at each request that the secret is no public key: `Verifier` checks it once.
    """

    def prepare_key(self, key: str | bytes) -> bytes:
        return key if isinstance(key, bytes) else super().prepare_key(key)

    def check_key_length(self, key: bytes) -> str | None:
        return None


def _may_be_secret(key: bytes) -> bool:
    """Whether this is a secret, and not a public key: everybody who knows a public key could sign with it."""
    try:
        return key != b"" and b"-----BEGIN" not in key and bool(HMACAlgorithm(HMACAlgorithm.SHA256).prepare_key(key))
    except jwt.InvalidKeyError:
        return False


_HS256 = jwt.PyJWS(algorithms=[])
_HS256.register_algorithm("HS256", _AnyLength(HMACAlgorithm.SHA256))


def _claims(token: str, secrets: tuple[bytes, ...]) -> dict[str, Any] | str:
    """The claims of a token that one of the secrets signed with HS256, or why there are none."""
    if len(token) > MAX_TOKEN:
        return "the token is too long"
    # All secrets are tried, also after one that fits, so that the time tells nothing about which of them it was.
    payloads = [payload for payload in [_payload(token, secret) for secret in secrets] if payload is not None]
    if not payloads:
        return "no configured signature secret made this token, or it is malformed, or not HS256"
    try:
        claims = json.loads(payloads[0])
    except (ValueError, RecursionError):
        return "the token is signed, but holds no JSON"
    return claims if isinstance(claims, dict) else "the token is signed, but holds no claims"


def _payload(token: str, secret: bytes) -> bytes | None:
    try:
        return _HS256.decode(token, secret, algorithms=["HS256"])  # type: ignore[no-any-return]  # it says Any
    except (jwt.PyJWTError, ValueError, RecursionError):  # the header is parsed before the signature is checked
        return None


def resembles(
    method: str, headers: Headers, query: str, body: bytes, now: float, *, max_age: float = 900, leeway: float = 60
) -> bool:
    """Whether everything but the secret is as Vonage signs: HS256, the claims, their age, and the payload's hash."""
    scheme, _, token = headers.get("Authorization", "").strip().partition(" ")
    if scheme.lower() != "bearer" or len(token) > MAX_TOKEN:
        return False
    try:
        parts = _HS256.decode_complete(token.strip(), options={"verify_signature": False})
        claims = json.loads(parts["payload"])
    except (jwt.PyJWTError, ValueError, RecursionError):
        return False
    if parts["header"].get("alg") != "HS256" or not isinstance(claims, dict) or _fault(claims, now, max_age, leeway):
        return False
    return _covers(claims["payload_hash"], method, query, body)


def _fault(claims: dict[str, Any], now: float, max_age: float, leeway: float) -> str:
    """What is wrong with the claims of a token that was signed; empty when nothing is."""
    issued: Any = claims.get("iat")
    if claims.get("iss") != ISSUER:
        return "the token's issuer is not Vonage"
    if not _number(issued):
        return "the token has no usable iat"
    if not now - max_age <= issued <= now + leeway:
        return "the token is too old or from the future: compare this machine's clock"
    # Vonage sets no exp today. Where there is one, it counts.
    expires = claims.get("exp", math.inf)
    if not _number(expires) or not expires > now - leeway:
        return "the token has expired"
    if not _text(claims.get("jti")) or not isinstance(claims.get("payload_hash"), str):
        return "the token lacks a usable jti or payload_hash"
    if any(claims.get(name) is not None and not _text(claims[name]) for name in ("application_id", "api_key")):
        return "the token's application_id or api_key is unusable"
    return ""


def _number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _text(value: object) -> bool:
    return isinstance(value, str) and value != "" and storable(value, MAX_ID)


def _covers(claimed: str, method: str, query: str, body: bytes) -> bool:
    wanted = claimed.lower().encode("utf-8", "replace")
    signed = (body,) if method == "POST" else _query_forms(query)
    return any(hmac.compare_digest(hashlib.sha256(form).hexdigest().encode(), wanted) for form in signed)


def _query_forms(query: str) -> Iterator[bytes]:
    """What the hash of a GET may cover: the parameters in their order, as one compact JSON object of strings.

    Vonage documents no example with text outside ASCII, or with parameters of our own in the URL: so the hash may be
    that of any of the four possible forms.
    https://api.support.vonage.com/hc/en-us/articles/19033783342876
    """
    parameters = read_query(query)
    theirs = {name: value for name, value in parameters.items() if name not in OUR_PARAMETERS}
    for form in (parameters, theirs):
        for ascii_only in (False, True):
            text = json.dumps(form, separators=(",", ":"), ensure_ascii=ascii_only)
            yield text.encode()


@dataclass(frozen=True)
class Verifier:
    """Verifies requests with the configured secrets, the old and the new one during a rotation.

    `max_age` is how old a token may be, and `leeway` how far in the future, both in seconds. `allow_unsigned` accepts
    requests without a token; a request with a wrong token is never accepted. Without any secret nothing can be
    verified, and every request counts as unsigned.
    """

    secrets: tuple[str, ...] = field(repr=False)
    allow_unsigned: bool = False
    max_age: float = 900
    leeway: float = 60
    clock: Callable[[], float] = field(default=time.time, repr=False)
    _keys: tuple[bytes, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        keys = tuple(secret.encode("utf-8", "surrogateescape") for secret in self.secrets)
        if not all(_may_be_secret(key) for key in keys):
            raise ValueError(
                "VONAGE_SIGNATURE_SECRET is empty, or holds a key in place of a secret. "
                "Write the signature secret from the dashboard's API settings."
            )
        object.__setattr__(self, "_keys", keys)

    def check(self, method: str, headers: Headers, query: str, body: bytes) -> Verdict:
        """Judge one request now."""
        if not self._keys:
            return Verdict(SignatureStatus.UNSIGNED, "no signature secret is configured, nothing can be judged")
        now = self.clock()
        return verify(method, headers, query, body, self._keys, now, max_age=self.max_age, leeway=self.leeway)

    def resembles(self, method: str, headers: Headers, query: str, body: bytes) -> bool:
        """Whether the request looks now like one of Vonage's, whatever secret signed it. It proves nothing."""
        return resembles(method, headers, query, body, self.clock(), max_age=self.max_age, leeway=self.leeway)

    def accepts(self, verdict: Verdict) -> bool:
        """Whether this proof is enough: a valid signature is, a bad one never is, and none at all is where allowed."""
        unsigned = verdict.status is SignatureStatus.UNSIGNED and self.allow_unsigned
        return verdict.status is SignatureStatus.VALID or unsigned
