"""The files that the pages load: style sheets, scripts and the icon, sent compressed to whoever takes that.

Pages are never compressed: how long they are would then tell something of the secrets in them.
https://www.breachattack.com
"""

from __future__ import annotations

import gzip
from functools import lru_cache

from flask import Blueprint, Response, request

_TEXT = ("text/css", "text/javascript", "image/svg+xml")


def add_compression(blueprint: Blueprint) -> None:
    """Compress what the blueprint serves from its folder."""

    @blueprint.after_request
    def compress(response: Response) -> Response:
        if request.endpoint != f"{blueprint.name}.static" or response.mimetype not in _TEXT:
            return response
        response.vary.add("Accept-Encoding")
        if response.status_code == 200 and request.accept_encodings["gzip"] > 0:
            response.direct_passthrough = False
            response.set_data(_compressed(response.get_data()))
            response.content_encoding = "gzip"
            etag, _ = response.get_etag()
            response.set_etag(etag or "", weak=True)
        return response


@lru_cache(maxsize=32)
def _compressed(content: bytes) -> bytes:
    return gzip.compress(content, mtime=0)
