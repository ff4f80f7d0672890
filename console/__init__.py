"""The door for browsers, programs and monitors: health, metrics, and the audio for players and downloads.

A door translates: it asks the heart and shows the answer. It decides nothing about a recording's life, and it reads no
settings: what it needs of them it is given.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from flask import Flask

from . import health, metrics


class Parts(health.Parts, metrics.Parts, Protocol):
    """What this room uses, each part made at its first use."""


def register(app: Flask, parts: Parts, *, version: str, api_tokens: Sequence[str], metrics_public: bool) -> None:
    """Add this room's routes to the app. One of `api_tokens` opens `/metrics`; so does `metrics_public`, to all."""
    app.register_blueprint(health.create_blueprint(parts))
    app.register_blueprint(
        metrics.create_blueprint(parts, version=version, api_tokens=api_tokens, metrics_public=metrics_public)
    )
