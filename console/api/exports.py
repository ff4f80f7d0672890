"""`/api/recordings/export.csv`, `/api/activity/export.csv`, and both as `.jsonl`: what a filter chooses, as a file.

How many exports run at once is bounded in `console.exports`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from flask import Response

from console.access import current_actor
from console.exports import Exports
from console.parts import Parts
from recordings.access import Action, Role
from recordings.catalogue import audit
from recordings.catalogue.exports import as_csv, as_jsonl
from recordings.catalogue.search import RecordingRow, walk

from .activity import ActivityConditions
from .filters import NumberConditions, filter_from
from .operations import Resource, View, needs

_CSV, _JSONL = "text/csv", "application/jsonl"


def _documented(content_type: str, rows: str) -> Callable[[View], View]:
    content = {content_type: {"schema": {"type": "string"}}}
    answer = {"200": {"description": f"{rows}, newest first.", "content": content}}
    return Resource.doc(responses=answer)  # type: ignore[no-any-return]


def create_resource(parts: Parts, exports: Exports) -> Resource:
    """The operations."""
    resource = Resource("Export", "Everything that a filter chooses, in one answer. Each is noted in the audit.")

    @resource.route("/recordings/export.csv", methods=["POST"])
    @needs(Role.LISTENER)
    @_documented(_CSV, "The recordings")
    @resource.arguments(NumberConditions)
    def export_csv(body: Mapping[str, Any]) -> Response:
        """The recordings as a table"""
        return _recordings(parts, exports, body, as_csv, _CSV)

    @resource.route("/recordings/export.jsonl", methods=["POST"])
    @needs(Role.LISTENER)
    @_documented(_JSONL, "The recordings")
    @resource.arguments(NumberConditions)
    def export_jsonl(body: Mapping[str, Any]) -> Response:
        """The recordings as JSON objects, one a line"""
        return _recordings(parts, exports, body, as_jsonl, _JSONL)

    @resource.route("/activity/export.csv", methods=["POST"])
    @needs(Role.OPERATOR)
    @_documented(_CSV, "The entries of the audit")
    @resource.arguments(ActivityConditions)
    def export_activity_csv(body: Mapping[str, Any]) -> Response:
        """The audit as a table"""
        return _activity(parts, exports, body, audit.as_csv, _CSV)

    @resource.route("/activity/export.jsonl", methods=["POST"])
    @needs(Role.OPERATOR)
    @_documented(_JSONL, "The entries of the audit")
    @resource.arguments(ActivityConditions)
    def export_activity_jsonl(body: Mapping[str, Any]) -> Response:
        """The audit as JSON objects, one a line"""
        return _activity(parts, exports, body, audit.as_jsonl, _JSONL)

    return resource


def _recordings(
    parts: Parts,
    exports: Exports,
    given: Mapping[str, Any],
    write: Callable[[Iterable[RecordingRow]], Iterator[bytes]],
    content_type: str,
) -> Response:
    filter, suffix = filter_from(given), _suffix(content_type)
    return exports.answer(
        lambda: parts.people.audit.note(current_actor(), Action.EXPORT, detail=suffix),
        lambda: write(walk(parts.database, filter)),
        file_name=f"recordings{suffix}",
        content_type=_with_charset(content_type),
    )


def _activity(
    parts: Parts,
    exports: Exports,
    given: Mapping[str, Any],
    write: Callable[[Iterable[audit.Entry]], Iterator[bytes]],
    content_type: str,
) -> Response:
    return exports.answer(
        lambda: parts.people.audit.note(current_actor(), Action.EXPORT, detail=audit.export_detail(given)),
        lambda: write(parts.people.audit.entries(**given)),
        file_name=f"activity{_suffix(content_type)}",
        content_type=_with_charset(content_type),
    )


def _suffix(content_type: str) -> str:
    return ".csv" if content_type == _CSV else ".jsonl"


def _with_charset(content_type: str) -> str:
    return f"{content_type}; charset=utf-8" if content_type == _CSV else content_type
