"""The pages for people: whether all is well, the recordings and one of them, what needs attention, what came and went.

A view reads, shows and orders. What a recording is and what becomes of it is decided in `recordings`. Every page works
without a script, and no number, name or token stands in an address of a page.
"""

from __future__ import annotations

from collections.abc import Callable

from flask import Blueprint

from console.exports import Exports
from recordings.care.examination import Examination
from recordings.care.readiness import Readiness

from . import activity, attention, deliveries, hearing, listing, overview, recording, system, wording
from .links import Links
from .parts import Parts
from .static_files import add_compression

__all__ = ["Parts", "create_blueprint"]


def create_blueprint(
    parts: Parts,
    readiness: Callable[[], Readiness],
    examination: Callable[[], Examination],
    exports: Exports,
    *,
    public_url: str,
    version: str,
) -> Blueprint:
    """The pages and the files that they load. Parts, readiness and examination are made at their first use."""
    blueprint = Blueprint(
        "pages", __name__, template_folder="../templates", static_folder="../static", static_url_path="/static"
    )
    links = Links(lambda: parts.people.key("pages"))
    overview.add_routes(blueprint, parts, readiness, links)
    listing.add_routes(blueprint, parts, links, public_url=public_url)
    recording.add_routes(blueprint, parts, links)
    hearing.add_routes(blueprint, parts)
    attention.add_routes(blueprint, parts, links)
    deliveries.add_routes(blueprint, parts, links)
    activity.add_routes(blueprint, parts, links, exports)
    system.add_routes(blueprint, parts, readiness, examination, version=version)
    add_compression(blueprint)
    for function in wording.FILTERS:
        blueprint.add_app_template_filter(function)
    return blueprint
