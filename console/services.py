"""What the console needs from the wiring, and how a command reaches it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Protocol, cast

import click
from flask import current_app

from plugins.manager import Plugins
from recordings.credentials import ApplicationToken
from recordings.database import Database
from recordings.jobs import Engine
from recordings.leases import Leases
from recordings.model import CatalogueUnavailable, StorageBackend, TapekeeperError
from settings import Settings, SettingsError


class Services(Protocol):
    """The parts, each made at its first use; making one raises `SettingsError` when its settings are wrong."""

    @property
    def settings(self) -> Settings: ...
    @property
    def database(self) -> Database: ...
    @property
    def leases(self) -> Leases: ...
    @property
    def plugins(self) -> Plugins: ...
    @property
    def storages(self) -> Mapping[str, StorageBackend]: ...
    @property
    def token(self) -> ApplicationToken: ...
    @property
    def engine(self) -> Engine: ...


@contextmanager
def services() -> Iterator[Services]:
    """The parts, for a command: what goes wrong with them becomes one line on stderr and exit code 1."""
    try:
        yield cast(Services, current_app.extensions["tapekeeper"])
    except CatalogueUnavailable as error:
        raise click.ClickException(f"{error}\nCheck DATABASE_URL, and that the database is up.") from error
    except (SettingsError, TapekeeperError) as error:
        raise click.ClickException(str(error)) from error
