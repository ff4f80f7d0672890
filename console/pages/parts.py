"""What the pages use of the program, and the recording that an address names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from flask import abort

from recordings.catalogue.database import Database
from recordings.catalogue.inbox import Inbox, Interpret
from recordings.catalogue.missing import MissingCalls
from recordings.catalogue.people import People
from recordings.catalogue.schedule import Schedule
from recordings.catalogue.search import Found, by_row
from recordings.catalogue.workers import Workers
from recordings.storage import StorageBackend

# A row's number as both databases can hold it: with any larger one there is nothing at the address.
ROW = "<int(min=1, max=9223372036854775807):row_id>"


class Plugin(Protocol):
    """What is known of one plugin. `state`: active, broken, disabled or unknown."""

    @property
    def name(self) -> str: ...
    @property
    def version(self) -> str | None: ...
    @property
    def origin(self) -> str: ...
    @property
    def hooks(self) -> Sequence[str]: ...
    @property
    def schemes(self) -> Sequence[str]: ...
    @property
    def state(self) -> str: ...
    @property
    def problem(self) -> str | None: ...


class Plugins(Protocol):
    """The plugins that were found."""

    def report(self) -> Sequence[Plugin]: ...


class Parts(Protocol):
    """What the pages use, each part made at its first use."""

    @property
    def database(self) -> Database: ...
    @property
    def storages(self) -> Mapping[str, StorageBackend]: ...
    @property
    def schedule(self) -> Schedule: ...
    @property
    def inbox(self) -> Inbox: ...
    @property
    def interpreter(self) -> Interpret: ...
    @property
    def missing(self) -> MissingCalls: ...
    @property
    def plugins(self) -> Plugins: ...
    @property
    def people(self) -> People: ...
    @property
    def workers(self) -> Workers: ...


def recording_in(parts: Parts, row_id: int) -> Found:
    """The recording in this row. Where there is none it is a 404."""
    found = by_row(parts.database, row_id)
    if found is None:
        abort(404, "There is no such recording here. Look for it in the list of recordings.")
    return found
