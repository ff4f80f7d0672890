"""The deployment that the tests of this folder look at."""

from __future__ import annotations

from tests.services.deployment import deploy

from .browser import opened

__all__ = ["deploy", "opened"]
