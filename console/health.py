"""`/healthz`: the process answers. `/readyz`: the process and the parts that it needs can be used.

What `/readyz` tells is looked at in the background, by `recordings.care.readiness`: neither waits for a part. Only to
whoever shows a token of the catalogue the answer comes half a second later while the catalogue hangs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from flask import Blueprint, Response, jsonify, request

from recordings.care.readiness import Readiness, Report
from recordings.errors import CatalogueUnavailable

from .tokens import MonitorTokens

_NOT_FOR_ALL = "The log says what is wrong, and so does this page to whoever sends a token: see `flask tokens add`."


def create_blueprint(readiness: Callable[[], Readiness], tokens: MonitorTokens) -> Blueprint:
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
        in_full = _may_see_all(tokens, request.headers.get("Authorization", ""))
        return jsonify(_shown(report, in_full)), 503 if report.problems or report.unknown else 200

    return blueprint


def _may_see_all(tokens: MonitorTokens, header: str) -> bool:
    try:
        return tokens.admit(header)
    except CatalogueUnavailable:  # only API_TOKENS are known without it
        return False


def _shown(report: Report, in_full: bool) -> dict[str, Any]:
    """`problems` and `warnings` by the name of the part; `status` is `unusable`, `starting` or `ok`."""

    def for_reader(sentences: Mapping[str, str]) -> Mapping[str, str]:
        return sentences if in_full else dict.fromkeys(sentences, _NOT_FOR_ALL)

    status = "unusable" if report.problems else "starting" if report.unknown else "ok"
    shown = {"status": status, "problems": {**for_reader(report.problems), **report.unknown}}
    return shown | ({"warnings": for_reader(report.warnings)} if report.warnings else {})
