"""`/metrics`: the catalogue in numbers, as Prometheus reads it. Asked of the database at each scrape, kept nowhere.

So every process of a deployment tells the same, and one of them is enough to scrape. Alert on
`tapekeeper_oldest_overdue_seconds`: it grows when nobody archives, or not quickly enough.
https://prometheus.io/docs/instrumenting/exposition_formats/
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta

from flask import Blueprint, Response, abort, request
from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from recordings.catalogue import stats
from recordings.errors import CatalogueUnavailable
from recordings.model import State
from settings import VERSION

from .services import Services

_KEPT = timedelta(days=30)  # how long Vonage keeps a recording: what is missing for longer nobody can help any more
_STATES = [state for state in State if state is not State.EMPTY]  # a recording without audio has no copies


def create_blueprint(services: Services) -> Blueprint:
    """The one route: closed (404) without `API_TOKENS`, unless `METRICS_PUBLIC` opens it to all."""
    blueprint = Blueprint("metrics", __name__)
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Catalogue(services))

    @blueprint.get("/metrics")
    def metrics() -> Response:
        settings = services.settings
        if not settings.metrics_public and not _holds(request.headers.get("Authorization", ""), settings.api_tokens):
            return _refusal(settings.api_tokens)
        encode, content_type = _encoder(request.headers.get("Accept", ""))
        try:
            return Response(encode(registry), content_type=content_type)
        except CatalogueUnavailable as error:
            return _line(503, f"{error} Check DATABASE_URL, and that the database is up.")

    return blueprint


class _Catalogue(Collector):
    def __init__(self, services: Services) -> None:
        self._services = services

    def collect(self) -> Iterator[Metric]:
        services = self._services
        found = stats.count(services.database)
        overdue, oldest = services.schedule.overdue()
        missing = services.missing.count(since=datetime.now(UTC) - _KEPT)
        yield self._copies(found)
        yield GaugeMetricFamily("tapekeeper_recordings", "Recordings that were announced.", found.recordings)
        yield GaugeMetricFamily("tapekeeper_copies_overdue", "Copies that a worker could take now.", overdue)
        yield GaugeMetricFamily(
            "tapekeeper_oldest_overdue_seconds", "For how long the oldest of them has been waiting.", oldest
        )
        yield GaugeMetricFamily(
            "tapekeeper_calls_missing", "Calls of the last 30 days that lack their recording.", missing
        )
        yield GaugeMetricFamily(
            "tapekeeper_last_refused_timestamp_seconds",
            "When an event was last turned away for its signature, in unix time; 0: never, as far as is kept.",
            max((moment.timestamp() for moment in found.refused_at.values()), default=0),
        )
        version = GaugeMetricFamily("tapekeeper_info", "Always 1; the version is its label.", labels=["version"])
        version.add_metric([VERSION], 1)
        yield version

    def _copies(self, found: stats.CatalogueStats) -> Metric:
        """A line for every state of every storage, also where it is 0: an alert needs a line to look at."""
        family = GaugeMetricFamily("tapekeeper_copies", "Copies by storage and state.", labels=["storage", "state"])
        named = dict.fromkeys([*self._services.settings.storage_url, *sorted({storage for storage, _ in found.copies})])
        for storage in named:
            for state in _STATES:
                family.add_metric([storage, state.value], found.copies.get((storage, state), 0))
        return family


def _encoder(accept: str) -> tuple[Callable[[Collector], bytes], str]:
    try:
        return choose_encoder(accept)
    except (TypeError, ValueError):  # a version in it that is no number
        return choose_encoder("")


def _holds(header: str, tokens: Sequence[str]) -> bool:
    """Whether the header brings one of these. All are compared, so that the time taken tells nothing."""
    scheme, _, given = header.strip().partition(" ")
    same = [hmac.compare_digest(given.strip().encode(), token.encode()) for token in tokens]
    return scheme.lower() == "bearer" and any(same)


def _refusal(tokens: Sequence[str]) -> Response:
    if not tokens:
        abort(404)
    reply = _line(401, "Send one of API_TOKENS: Authorization: Bearer <token>")
    reply.headers["WWW-Authenticate"] = "Bearer"
    return reply


def _line(status: int, text: str) -> Response:
    return Response(f"{text}\n", status, mimetype="text/plain")
