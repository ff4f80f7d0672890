"""The deployment that the tests of this folder look at."""

from __future__ import annotations

from tests.services.deployment import deploy

__all__ = ["deploy"]
