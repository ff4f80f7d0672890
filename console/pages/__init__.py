"""The pages for people: whether all is well, the recordings, and one recording, to be seen and heard.

A view reads, shows and orders. What a recording is and what becomes of it is decided in `recordings`. Every page works
without a script, and no number, name or token stands in an address of a page.
"""

from __future__ import annotations

from collections.abc import Callable

from flask import Blueprint

from recordings.care.readiness import Readiness

from . import hearing, listing, overview, recording, wording
from .links import Links
from .parts import Parts
from .static_files import add_compression

__all__ = ["Parts", "create_blueprint"]


def create_blueprint(parts: Parts, readiness: Callable[[], Readiness], *, public_url: str) -> Blueprint:
    """The pages and the files that they load. Parts and readiness are made at their first use."""
    blueprint = Blueprint(
        "pages", __name__, template_folder="../templates", static_folder="../static", static_url_path="/static"
    )
    links = Links(lambda: parts.people.key("pages"))
    overview.add_routes(blueprint, parts, readiness, links)
    listing.add_routes(blueprint, parts, links, public_url=public_url)
    recording.add_routes(blueprint, parts)
    hearing.add_routes(blueprint, parts)
    add_compression(blueprint)
    for function in wording.FILTERS:
        blueprint.add_app_template_filter(function)
    return blueprint
