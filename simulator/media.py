"""The media API of the pretend Vonage: lists the files on the shelf, as its specification says.

Nobody has proven that the real one lists recordings of calls; what is here has the shape of its specification and of
the samples in Vonage's own SDK. https://github.com/Nexmo/api-specification/blob/master/definitions/media.yml
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from flask import Flask, Response, jsonify, request

from .events import milliseconds
from .misbehaviour import problem
from .shelf import ServedFile, Shelf


def add_routes(app: Flask, shelf: Shelf, refusal: Callable[[str], str | None]) -> None:
    """`GET /v3/media` and `/v3/media/<id>/info`, for whoever shows a token that `refusal` finds no fault with."""

    def refused() -> bool:
        return refusal(request.headers.get("Authorization", "")) is not None

    @app.get("/v3/media")
    def list_media() -> Response:
        return problem(401) if refused() else jsonify(_page(shelf))

    @app.get("/v3/media/<file_id>/info")
    def media_info(file_id: str) -> Response:
        if refused():
            return problem(401)
        file = shelf.find(file_id)
        return problem(404) if file is None else jsonify(_item(file))


def _page(shelf: Shelf) -> dict[str, Any]:
    """One page: unless asked otherwise, 20 files of the last week, newest first."""
    asked = request.args
    start = _moment(asked.get("start_time")) or datetime.now(UTC) - timedelta(days=7)
    end = _moment(asked.get("end_time")) or datetime.now(UTC) + timedelta(days=1)
    files = [file for file in shelf.values() if start.timestamp() <= file.created <= end.timestamp()]
    files.sort(key=lambda file: (file.created, file.id), reverse=asked.get("order") != "ascending")
    size, index = int(asked.get("page_size", 20)), int(asked.get("page_index", 0))
    items = [_item(file) for file in files[index * size : (index + 1) * size]]
    links = {"self": {"href": request.url}}
    return {
        "page_size": size,
        "page_index": index,
        "count": len(files),
        "_embedded": {"media": items},
        "_links": links,
    }


def _item(file: ServedFile) -> dict[str, Any]:
    created = milliseconds(file.created)
    return {
        "id": file.id,
        "original_file_name": f"{file.id}.{file.format}",
        "mime_type": file.content_type,
        "account_id": "a1b2c3d",
        "store_id": "s3",
        "max_downloads_allowed": 0,
        "times_downloaded": file.served,
        "etag": file.sha256[:32],
        "media_size": file.size,
        "time_created": created,
        "time_last_updated": created,
        "public": False,
        "metadata_primary": None,
        "metadata_secondary": None,
    }


def _moment(text: str | None) -> datetime | None:
    if not text:
        return None
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
