"""`/healthz`: the process answers. `/readyz`: its database and its storages can be used."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from flask import Blueprint, Response, jsonify
from sqlalchemy import text

from .services import Services

_FRESH_SECONDS = 30.0


def create_blueprint(services: Services) -> Blueprint:
    """The two routes. Neither tells more than names of parts and the sentence that says what is wrong with them."""
    blueprint = Blueprint("health", __name__)
    readiness = Readiness(services)

    @blueprint.get("/healthz")
    def healthz() -> Response:
        return jsonify(status="ok")

    @blueprint.get("/readyz")
    def readyz() -> tuple[Response, int]:
        problems = readiness.problems()
        return jsonify(status="unusable" if problems else "ok", problems=problems), 503 if problems else 200

    return blueprint


class Readiness:
    """Checks the database and each storage, at most once in half a minute: monitors ask often, stores bill requests."""

    def __init__(self, services: Services, ticks: Callable[[], float] = time.monotonic) -> None:
        self._services = services
        self._ticks = ticks
        self._guard = threading.Lock()
        self._checked: float | None = None
        self._problems: dict[str, str] = {}

    def problems(self) -> dict[str, str]:
        """What cannot be used, and why, by the name of the part."""
        with self._guard:
            if self._checked is None or self._ticks() - self._checked > _FRESH_SECONDS:
                self._problems = self._check()
                self._checked = self._ticks()
            return self._problems

    def _check(self) -> dict[str, str]:
        parts: dict[str, Callable[[], object]] = {"database": self._ask_database}
        parts |= {url: backend.check for url, backend in self._services.storages.items()}
        problems = {}
        for name, check in parts.items():
            try:
                check()
            except Exception as error:
                problems[name] = str(error) or type(error).__name__
        return problems

    def _ask_database(self) -> None:
        with self._services.database.read() as connection:
            connection.execute(text("SELECT 1"))
