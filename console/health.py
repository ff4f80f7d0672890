"""`/healthz`: the process answers. `/readyz`: the process and the parts that it needs can be used.

Neither waits for anything: what `/readyz` tells is looked at in the background, by `recordings.care.readiness`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from flask import Blueprint, Response, jsonify, request

from recordings.care.readiness import Readiness, Report

from .tokens import holds_token

_NOT_FOR_ALL = "The log says what is wrong, and so does this page to whoever sends one of API_TOKENS."


def create_blueprint(readiness: Callable[[], Readiness], *, api_tokens: Sequence[str]) -> Blueprint:
    """The two routes.

    A request with one of the tokens sees what is wrong with a part; any other sees only the part's name.
    """
    blueprint = Blueprint("health", __name__)

    @blueprint.get("/healthz")
    def healthz() -> Response:
        return jsonify(status="ok")

    @blueprint.get("/readyz")
    def readyz() -> tuple[Response, int]:
        looking = readiness()
        looking.start()
        report = looking.report()
        in_full = holds_token(request.headers.get("Authorization", ""), api_tokens)
        return jsonify(_shown(report, in_full)), 503 if report.problems or report.unknown else 200

    return blueprint


def _shown(report: Report, in_full: bool) -> dict[str, Any]:
    """`problems` and `warnings` by the name of the part; `status` is `unusable`, `starting` or `ok`."""

    def told(sentences: Mapping[str, str]) -> Mapping[str, str]:
        return sentences if in_full else dict.fromkeys(sentences, _NOT_FOR_ALL)

    status = "unusable" if report.problems else "starting" if report.unknown else "ok"
    shown = {"status": status, "problems": {**told(report.problems), **report.unknown}}
    return shown | ({"warnings": told(report.warnings)} if report.warnings else {})
