"""The headers that every answer of the console carries: what a page may load, and that nobody keeps a copy of it."""

from __future__ import annotations

import secrets

from flask import Flask, Response, g, request

from .door import is_for_machines

_POLICY = (
    "default-src 'none'; script-src 'self'{nonce}; style-src 'self'{nonce}; img-src 'self' data:; font-src 'self'; "
    "media-src 'self'; connect-src 'self'; manifest-src 'self'; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'"
)


def csp_nonce() -> str:
    """The word of this request that a page's own script or style shows: `nonce="{{ csp_nonce() }}"`.

    https://developer.mozilla.org/en-US/docs/Web/HTTP/Guides/CSP#nonces
    """
    if "csp_nonce" not in g:
        g.csp_nonce = secrets.token_urlsafe(16)
    nonce: str = g.csp_nonce
    return nonce


def register_headers(app: Flask) -> None:
    """Add the headers to every answer of the console. A view's own `Cache-Control` stays."""

    @app.after_request
    def add(response: Response) -> Response:
        if is_for_machines(request.path) or g.get("door_is_closed"):
            return response
        nonce = f" 'nonce-{g.csp_nonce}'" if "csp_nonce" in g else ""
        response.headers["Content-Security-Policy"] = _POLICY.format(nonce=nonce)
        response.headers["Referrer-Policy"] = "no-referrer"
        response.headers["X-Content-Type-Options"] = "nosniff"
        response.headers["Cross-Origin-Opener-Policy"] = "same-origin"
        response.headers["Cross-Origin-Resource-Policy"] = "same-origin"
        if (request.endpoint or "").rpartition(".")[2] != "static":
            response.headers.setdefault("Cache-Control", "private, no-store")
        return response
