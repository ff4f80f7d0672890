"""Checks API_TOKENS: a request with `Authorization: Bearer <token>` may see what is closed to others."""

from __future__ import annotations

import hmac
from collections.abc import Sequence


def holds_token(header: str, tokens: Sequence[str]) -> bool:
    """Whether the header holds one of the tokens. All are compared, so that the time spent reveals nothing."""
    scheme, _, given = header.strip().partition(" ")
    same = [hmac.compare_digest(given.strip().encode(), token.encode()) for token in tokens]
    return scheme.lower() == "bearer" and any(same)
