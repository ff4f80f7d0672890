"""`/metrics`: the catalogue in numbers, as Prometheus reads it. Each scrape asks the database; nothing is kept here.

So every process of a deployment answers the same, and it is enough to scrape one. Alert on
`tapekeeper_oldest_overdue_seconds`: it grows when no worker archives, or when the workers are too slow.
https://prometheus.io/docs/instrumenting/exposition_formats/
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from typing import Protocol

from flask import Blueprint, Response, abort, request
from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from recordings.catalogue import stats
from recordings.catalogue.database import Database
from recordings.catalogue.missing import MissingCalls
from recordings.catalogue.schedule import Schedule
from recordings.catalogue.workers import Workers
from recordings.clock import utc_now
from recordings.errors import CatalogueUnavailable
from recordings.model import COPY_STATES
from recordings.storage import StorageBackend
from recordings.timeouts import Deadline

from .tokens import MonitorTokens

log = logging.getLogger(__name__)

_VONAGE_KEEPS = timedelta(days=30)  # Vonage has deleted the recordings of older calls
_SECONDS = 3.0  # for all questions of one scrape
_MOST_SCRAPES = 2  # at the same time: a database that hangs must not cost the threads that answer calls


class Parts(Protocol):
    """What is counted. Only the URLs of the storages are used."""

    @property
    def database(self) -> Database: ...
    @property
    def storages(self) -> Mapping[str, StorageBackend]: ...
    @property
    def schedule(self) -> Schedule: ...
    @property
    def missing(self) -> MissingCalls: ...
    @property
    def workers(self) -> Workers: ...


def create_blueprint(parts: Parts, tokens: MonitorTokens, *, version: str, metrics_public: bool) -> Blueprint:
    """The one route: closed (404) where there is no token, unless `metrics_public` opens it to all."""
    blueprint = Blueprint("metrics", __name__)
    places = threading.BoundedSemaphore(_MOST_SCRAPES)
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Catalogue(parts, version))

    @blueprint.get("/metrics")
    def metrics() -> Response:
        try:
            if not metrics_public and not tokens.admit(request.headers.get("Authorization", "")):
                return _refusal(tokens)
            return _scrape(registry, places)
        except CatalogueUnavailable as error:
            log.warning("/metrics cannot be answered. %s", error)
            return _line(503, "The database cannot be read. Check DATABASE_URL, and that the database is up.")

    return blueprint


def _scrape(registry: CollectorRegistry, places: threading.BoundedSemaphore) -> Response:
    if not places.acquire(blocking=False):
        return _line(503, f"{_MOST_SCRAPES} other scrapes wait for the database. Ask again later, or less often.")
    try:
        encode, content_type = _encoder(request.headers.get("Accept", ""))
        return Response(encode(registry), content_type=content_type)
    finally:
        places.release()


class _Catalogue(Collector):
    def __init__(self, parts: Parts, version: str) -> None:
        self._parts = parts
        self._version = version

    def collect(self) -> Iterator[Metric]:
        deadline = Deadline(_SECONDS)
        counts = stats.count(self._parts.database, deadline)
        overdue, oldest = self._parts.schedule.overdue(deadline)
        missing = self._parts.missing.count(deadline, since=utc_now() - _VONAGE_KEEPS)
        claim = self._parts.schedule.oldest_claim_seconds(deadline)
        workers = self._parts.workers.living(deadline)
        yield self._copies(counts.totals)
        yield GaugeMetricFamily("tapekeeper_recordings", "Recordings that were announced.", counts.totals.recordings)
        yield GaugeMetricFamily(
            "tapekeeper_figures_age_seconds", "How long ago recordings and copies were counted.", counts.totals.age
        )
        yield GaugeMetricFamily("tapekeeper_copies_overdue", "Copies that a worker could take now.", overdue)
        yield GaugeMetricFamily(
            "tapekeeper_oldest_overdue_seconds", "For how long the oldest of them has been waiting.", oldest
        )
        yield GaugeMetricFamily(
            "tapekeeper_calls_missing", "Calls of the last 30 days that lack their recording.", missing
        )
        yield GaugeMetricFamily(
            "tapekeeper_oldest_claim_seconds", "For how long the oldest copy that is in work has been in work.", claim
        )
        yield GaugeMetricFamily("tapekeeper_workers", "Workers that were seen within the last minute.", workers)
        yield self._refused(counts)
        version = GaugeMetricFamily("tapekeeper_info", "Always 1; the version is its label.", labels=["version"])
        version.add_metric([self._version], 1)
        yield version

    def _copies(self, counts: stats.Totals) -> Metric:
        """A line for every state of every storage, also when its number is 0: an alert needs a line to look at."""
        family = GaugeMetricFamily("tapekeeper_copies", "Copies by storage and state.", labels=["storage", "state"])
        former = sorted({storage for storage, _ in counts.copies} - set(self._parts.storages))
        for storage in (*self._parts.storages, *former):
            for state in COPY_STATES:
                family.add_metric([storage, state.value], counts.copies.get((storage, state), 0))
        return family

    def _refused(self, counts: stats.CatalogueStats) -> Metric:
        """When a delivery was last refused. `like_vonage`: the secret here is wrong; `other`: a stranger sent it."""
        family = GaugeMetricFamily(
            "tapekeeper_last_refused_timestamp_seconds",
            "When an event was last turned away for its signature, in unix time; 0: never, as far as is kept.",
            labels=["token"],
        )
        for label, like_vonage in (("like_vonage", True), ("other", False)):
            moment = counts.refused_at.get(like_vonage)
            family.add_metric([label], moment.timestamp() if moment else 0)
        return family


def _encoder(accept: str) -> tuple[Callable[[Collector], bytes], str]:
    try:
        return choose_encoder(accept)
    except (TypeError, ValueError):  # a version in it that is no number
        return choose_encoder("")


def _refusal(tokens: MonitorTokens) -> Response:
    try:
        is_open = tokens.exist()
    except CatalogueUnavailable:
        is_open = False
    if not is_open:
        abort(404)
    reply = _line(401, "Send a token that flask tokens add made, or one of API_TOKENS: Authorization: Bearer <token>")
    reply.headers["WWW-Authenticate"] = "Bearer"
    return reply


def _line(status: int, text: str) -> Response:
    return Response(f"{text}\n", status, mimetype="text/plain")
