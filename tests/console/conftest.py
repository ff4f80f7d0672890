"""The deployment that the tests of this folder look at, and a Postgres for it."""

from __future__ import annotations

from tests.services.deployment import deploy
from tests.services.servers import postgres_server_url, postgres_url

from .browser import opened

__all__ = ["deploy", "opened", "postgres_server_url", "postgres_url"]
