"""The deployment that the tests of this folder look at, and a Postgres for it."""

from __future__ import annotations

from tests.services.deployment import deploy
from tests.services.servers import postgres_server_url, postgres_url

__all__ = ["deploy", "postgres_server_url", "postgres_url"]
