"""What each worker does now and then beside archiving, and how often. The parts come from `wsgi`, which calls this."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from recordings.archive.failures import RetryPolicy
    from recordings.archive.waveforms import WaveformMaker
    from recordings.care.nightly import NightlyLists
    from recordings.catalogue.database import Database
    from recordings.catalogue.inbox import Inbox
    from recordings.catalogue.missing import MissingCalls
    from recordings.catalogue.schedule import Schedule
    from recordings.catalogue.workers import Workers
    from recordings.engine.periodic import PeriodicTasks
    from telling import Telling


class Parts(Protocol):
    """What this file uses of the wiring."""

    @property
    def database(self) -> Database: ...
    @property
    def workers(self) -> Workers: ...
    @property
    def schedule(self) -> Schedule: ...
    @property
    def policy(self) -> RetryPolicy: ...
    @property
    def missing(self) -> MissingCalls: ...
    @property
    def inbox(self) -> Inbox: ...
    @property
    def telling(self) -> Telling: ...
    @property
    def waveforms(self) -> WaveformMaker: ...
    @property
    def nightly(self) -> NightlyLists: ...


def periodic_tasks(parts: Parts) -> PeriodicTasks:
    """The tasks of one worker; each must bear that other workers do it, too."""
    from recordings.care.nightly import LOOK_SECONDS
    from recordings.catalogue import stats
    from recordings.catalogue.workers import SIGN_SECONDS
    from recordings.engine.periodic import PeriodicTask, PeriodicTasks

    back_off_dead = partial(parts.schedule.back_off_dead, parts.policy.backoff)
    write_figures = partial(stats.write_figures, parts.database)
    return PeriodicTasks(
        [
            PeriodicTask("The sign of life", SIGN_SECONDS, parts.workers.sign),
            PeriodicTask("The back-off of copies that kill their worker", 5, back_off_dead),
            PeriodicTask("The search for missing recordings", 15, parts.missing.settle),
            PeriodicTask("The counting of recordings and copies", stats.COUNTED_EVERY, write_figures),
            PeriodicTask("The pruning of old deliveries", 600, parts.inbox.prune),
            PeriodicTask("The pruning of old events for programs", 600, parts.telling.prune),
            PeriodicTask("The making of waveforms", 5, parts.waveforms.start),
            PeriodicTask("The nightly list of the catalogue", LOOK_SECONDS, parts.nightly.start),
        ]
    )
