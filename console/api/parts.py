"""What the API uses of the program."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from recordings.catalogue.database import Database
from recordings.catalogue.inbox import Inbox, Interpret
from recordings.catalogue.missing import MissingCalls
from recordings.catalogue.people import People
from recordings.catalogue.schedule import Schedule
from recordings.catalogue.workers import Workers
from recordings.storage import StorageBackend


class Parts(Protocol):
    """Each part is made at its first use. `interpreter` says what a stored delivery means by the settings of today."""

    @property
    def database(self) -> Database: ...
    @property
    def storages(self) -> Mapping[str, StorageBackend]: ...
    @property
    def schedule(self) -> Schedule: ...
    @property
    def missing(self) -> MissingCalls: ...
    @property
    def inbox(self) -> Inbox: ...
    @property
    def interpreter(self) -> Interpret: ...
    @property
    def people(self) -> People: ...
    @property
    def workers(self) -> Workers: ...
