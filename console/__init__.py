"""The door for browsers, programs and monitors: today health and metrics.

A door translates: it asks the heart and shows the answer. It decides nothing about a recording's life, and it reads no
settings: what it needs of them it is given.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from flask import Flask

from recordings.care.readiness import Readiness

from . import health, metrics


def register(
    app: Flask,
    parts: metrics.Parts,
    readiness: Callable[[], Readiness],
    *,
    version: str,
    api_tokens: Sequence[str],
    metrics_public: bool,
) -> None:
    """Add this room's routes to the app.

    One of `api_tokens` opens `/metrics`, and lets `/readyz` tell what is wrong; `metrics_public` opens `/metrics` to
    all. The parts and `readiness` are made at their first use.
    """
    app.register_blueprint(health.create_blueprint(readiness, api_tokens=api_tokens))
    app.register_blueprint(
        metrics.create_blueprint(parts, version=version, api_tokens=api_tokens, metrics_public=metrics_public)
    )
