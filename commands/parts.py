"""What the console needs from the wiring, and how a command reaches it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Protocol, cast

import click
from flask import current_app

from plugins.manager import Plugins
from recordings.archive.credentials import ApplicationToken
from recordings.archive.failures import RetryPolicy
from recordings.archive.fetch import Fetcher
from recordings.archive.heartbeat import Heartbeat
from recordings.archive.replicate import Replicator
from recordings.archive.retrieval import Retrieval
from recordings.care.repair import Repair
from recordings.catalogue.database import Database
from recordings.catalogue.inbox import Inbox, Replayed
from recordings.catalogue.intake import Intake
from recordings.catalogue.leases import Leases
from recordings.catalogue.missing import MissingCalls
from recordings.engine.engine import Engine
from recordings.errors import CatalogueUnavailable, TapekeeperError
from recordings.storage import StorageBackend
from settings import Settings, SettingsError


class Services(Protocol):
    """The parts, each made at its first use; making one raises `SettingsError` when its settings are wrong."""

    @property
    def settings(self) -> Settings: ...
    @property
    def problems(self) -> Sequence[SettingsError]: ...
    @property
    def database(self) -> Database: ...
    @property
    def queue_url(self) -> str: ...
    @property
    def leases(self) -> Leases: ...
    @property
    def plugins(self) -> Plugins: ...
    @property
    def storages(self) -> Mapping[str, StorageBackend]: ...
    @property
    def token(self) -> ApplicationToken: ...
    @property
    def retrieval(self) -> Retrieval: ...
    @property
    def replicator(self) -> Replicator: ...
    @property
    def heartbeat(self) -> Heartbeat: ...
    @property
    def policy(self) -> RetryPolicy: ...
    @property
    def engine(self) -> Engine: ...
    @property
    def fetcher(self) -> Fetcher: ...
    @property
    def intake(self) -> Intake: ...
    @property
    def missing(self) -> MissingCalls: ...
    @property
    def inbox(self) -> Inbox: ...
    @property
    def repair(self) -> Repair: ...
    def replay(self, delivery_id: int) -> Replayed: ...
    def release(self) -> None: ...


@contextmanager
def services(*, tolerant: bool = False) -> Iterator[Services]:
    """The parts, for a command: what goes wrong with them becomes one line on stderr and exit code 1.

    A wrong setting ends the command before it begins, unless it is `tolerant`.
    """
    parts = cast(Services, current_app.extensions["tapekeeper"])
    try:
        if parts.problems and not tolerant:
            raise parts.problems[0]
        yield parts
    except CatalogueUnavailable as error:
        raise click.ClickException(f"{error}\nCheck DATABASE_URL, and that the database is up.") from error
    except (SettingsError, TapekeeperError) as error:
        raise click.ClickException(str(error)) from error
    finally:
        parts.release()
