"""`/healthz`: the process answers. `/readyz`: its database and its storages can be used."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from typing import Protocol

from flask import Blueprint, Response, jsonify
from sqlalchemy import text

from recordings.catalogue.database import Database
from recordings.storage import StorageBackend

_FRESH_SECONDS = 30.0


class Parts(Protocol):
    """What is checked: the database, and each storage by its URL."""

    @property
    def database(self) -> Database: ...
    @property
    def storages(self) -> Mapping[str, StorageBackend]: ...


def create_blueprint(parts: Parts) -> Blueprint:
    """The two routes. They show the names of parts and a sentence that says what is wrong with each, nothing more."""
    blueprint = Blueprint("health", __name__)
    readiness = Readiness(parts)

    @blueprint.get("/healthz")
    def healthz() -> Response:
        return jsonify(status="ok")

    @blueprint.get("/readyz")
    def readyz() -> tuple[Response, int]:
        problems = readiness.problems()
        return jsonify(status="unusable" if problems else "ok", problems=problems), 503 if problems else 200

    return blueprint


class Readiness:
    """Checks the database and each storage, at most once in half a minute.

    Monitors ask more often than that, and cloud storages bill each request.
    """

    def __init__(self, parts: Parts, ticks: Callable[[], float] = time.monotonic) -> None:
        self._parts = parts
        self._ticks = ticks
        self._guard = threading.Lock()
        self._checked: float | None = None
        self._problems: dict[str, str] = {}

    def problems(self) -> dict[str, str]:
        """Name of the part → why it cannot be used, for each part that cannot."""
        with self._guard:
            if self._checked is None or self._ticks() - self._checked > _FRESH_SECONDS:
                self._problems = self._check()
                self._checked = self._ticks()
            return self._problems

    def _check(self) -> dict[str, str]:
        checks: dict[str, Callable[[], object]] = {"database": self._ask_database}
        checks |= {url: backend.check for url, backend in self._parts.storages.items()}
        problems = {}
        for name, check in checks.items():
            try:
                check()
            except Exception as error:  # a plugin's backend may raise anything
                problems[name] = str(error) or type(error).__name__
        return problems

    def _ask_database(self) -> None:
        with self._parts.database.read() as connection:
            connection.execute(text("SELECT 1"))
