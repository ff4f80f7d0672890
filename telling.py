"""The parts that tell people and programs, made at their first use out of the settings. Wiring, no logic.

`wsgi` has one of these, as it has each part. What is told, when and how, is decided in `recordings/`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial
from typing import TYPE_CHECKING, Protocol

import settings as environment
from settings import Settings, SettingsError

if TYPE_CHECKING:
    from recordings.archive.failures import RetryPolicy
    from recordings.care.notices import Notifier
    from recordings.care.programs import Program
    from recordings.catalogue.database import Database
    from recordings.catalogue.notices import Notices
    from recordings.catalogue.outgoing import OutgoingEvents
    from recordings.engine.engine import Engine
    from recordings.engine.supervisor import Supervisor

Loop = Callable[[threading.Event], None]


class Parts(Protocol):
    """The parts that these are made of."""

    @property
    def settings(self) -> Settings: ...
    @property
    def database(self) -> Database: ...
    @property
    def policy(self) -> RetryPolicy: ...
    @property
    def supervisor(self) -> Supervisor: ...
    @property
    def engine(self) -> Engine: ...


@dataclass(frozen=True)
class Telling:
    """Notices for people, where NOTIFY_URLS is set; events for a program, where EVENT_WEBHOOK_URL is."""

    parts: Parts

    @cached_property
    def events(self) -> OutgoingEvents:
        """The events that are kept, also those from before EVENT_WEBHOOK_URL was taken away."""
        from recordings.catalogue.outgoing import OutgoingEvents

        return OutgoingEvents(self.parts.database)

    @property
    def new_events(self) -> OutgoingEvents | None:
        """Where new events are written to; None: no program wants any."""
        return self.events if self.parts.settings.event_webhook_url else None

    @cached_property
    def program(self) -> Program | None:
        """The program that is told. Raises `SettingsError` where it could not tell our events from a stranger's."""
        chosen = self.parts.settings
        if not chosen.event_webhook_url:
            return None
        for problem in environment.unsigned_events(chosen):
            raise problem
        from recordings.care.programs import Program

        return Program(chosen.event_webhook_url, chosen.event_webhook_secret)

    @cached_property
    def notices(self) -> Notices:
        """What each recipient was told."""
        from recordings.catalogue.notices import Notices

        return Notices(self.parts.database)

    @cached_property
    def notifier(self) -> Notifier | None:
        """Who tells people; None: nobody is to be told. Raises `SettingsError` for an address that cannot be used."""
        chosen = self.parts.settings
        if not chosen.notify_urls:
            return None
        from recordings.care.notices import Notifier
        from recordings.care.people import InvalidAddress, recipients
        from recordings.catalogue.troubles import Troubles

        try:
            addressees = recipients(chosen.notify_urls)
        except InvalidAddress as error:
            raise SettingsError("NOTIFY_URLS", "***", str(error)) from None
        return Notifier(self.notices, Troubles(self.parts.database), addressees, public_url=chosen.public_url)

    def loops(self) -> dict[str, Loop]:
        """What a worker runs beside archiving, each in a thread of this name until the event that it is given is set.

        Every address is looked at now, so that a wrong one stops the start.
        """
        loops: dict[str, Loop] = {}
        if self.program is not None:
            from recordings.care.programs import EventLoop

            loops["tapekeeper-events"] = EventLoop(self.events, self.program, self.parts.policy.backoff).run
        if self.notifier is not None:
            loops["tapekeeper-notices"] = self.notifier.run
        return loops

    def begin(self) -> None:
        """Tell people from this process, which need not be a worker: where no worker lives, somebody must say so."""
        if self.notifier is not None:
            run = partial(self.notifier.run, self.parts.engine.stopping)
            self.parts.supervisor.start("tapekeeper-notices", run)

    def prune(self) -> None:
        """Forget old events, also where no program is told any more."""
        self.events.prune(self.parts.settings.delivery_retention_days)

    def close(self) -> None:
        """Close the connections to the program."""
        if "program" in self.__dict__ and self.program is not None:
            self.program.close()
