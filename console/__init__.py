"""The door for browsers, programs and monitors: the pages, health, metrics, and who may come in.

A door translates: it asks the heart and shows the answer. It decides nothing about a recording's life, and it reads no
settings: what it needs of them it is given.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from flask import Flask

from recordings.care.examination import Examination
from recordings.care.readiness import Readiness

from . import access, api, health, metrics, pages
from .exports import Exports
from .tokens import MonitorTokens


class Parts(access.Parts, metrics.Parts, pages.Parts, Protocol):
    """What this room uses, each part made at its first use."""


class Settings(access.DoorSettings, Protocol):
    """The settings that this room is given."""

    @property
    def metrics_public(self) -> bool: ...


def register(
    app: Flask,
    parts: Parts,
    readiness: Callable[[], Readiness],
    chosen: Settings,
    *,
    version: str,
    examination: Callable[[], Examination],
) -> None:
    """Add this room's routes to the app, and the guard before them.

    A token, one of the setting's `api_tokens` or one of the catalogue, opens `/metrics`, and lets `/readyz` tell what
    is wrong; `metrics_public` opens `/metrics` to all. The parts, `readiness` and `examination` are made at their first
    use.
    """
    access.register(app, parts, chosen)
    exports = Exports()
    app.register_blueprint(
        pages.create_blueprint(parts, readiness, examination, exports, public_url=chosen.public_url, version=version)
    )
    api.register(app, parts, readiness, exports, version=version)
    tokens = MonitorTokens(chosen.api_tokens, lambda: parts.people)
    app.register_blueprint(health.create_blueprint(readiness, tokens))
    app.register_blueprint(
        metrics.create_blueprint(parts, tokens, version=version, metrics_public=chosen.metrics_public)
    )
