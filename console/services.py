"""What the console needs from the wiring, and how a command reaches it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Protocol, cast

import click
from flask import current_app

from plugins.manager import Plugins
from recordings.backfill import Duplicator
from recordings.catalogue import Catalogue
from recordings.causes import RetryPolicy
from recordings.credentials import ApplicationToken
from recordings.database import Database
from recordings.fetch import Fetcher
from recordings.heartbeat import Heartbeat
from recordings.inbox import Inbox, Replayed
from recordings.jobs import Engine
from recordings.leases import Leases
from recordings.missing import MissingCalls
from recordings.model import CatalogueUnavailable, StorageBackend, TapekeeperError
from recordings.repair import Repair
from recordings.retrieval import Retrieval
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
    def duplicator(self) -> Duplicator: ...
    @property
    def heartbeat(self) -> Heartbeat: ...
    @property
    def policy(self) -> RetryPolicy: ...
    @property
    def engine(self) -> Engine: ...
    @property
    def fetcher(self) -> Fetcher: ...
    @property
    def catalogue(self) -> Catalogue: ...
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
