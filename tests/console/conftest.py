"""The deployment that the tests of this folder look at, a Postgres for it, and audio to ask for."""

from __future__ import annotations

from tests.console.audio_samples import backend, serve
from tests.services.deployment import deploy
from tests.services.servers import postgres_server_url, postgres_url

from .browser import opened
from .site import site

__all__ = ["backend", "deploy", "opened", "postgres_server_url", "postgres_url", "serve", "site"]
