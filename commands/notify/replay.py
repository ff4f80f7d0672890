"""`flask notify replay`: send events to the program once more."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Protocol

import click

from commands.parts import show, with_parts
from recordings.catalogue.outgoing import Progress, UnknownEvent

if TYPE_CHECKING:
    from telling import Telling


class Parts(Protocol):
    """What this command uses."""

    @property
    def telling(self) -> Telling: ...


@click.command("replay", short_help="Send events to the program once more.")
@click.argument("event_ids", type=click.IntRange(min=1), nargs=-1)
@click.option("--failed", is_flag=True, help="All that were given up.")
@with_parts
def command(parts: Parts, event_ids: tuple[int, ...], failed: bool) -> None:
    """Send events once more: by their numbers (flask notify list), or all that were given up, with --failed.

    A running worker sends them, for another five days, with the same webhook-id and the same body: a program that has
    taken an event already can tell so. Exit code 1 when there is no such event.
    """
    if bool(event_ids) == failed:
        raise click.UsageError("Name events by their numbers, or all that were given up: --failed.")
    if parts.telling.program is None:
        raise click.ClickException("Nobody would send them: set EVENT_WEBHOOK_URL, for the workers too.")
    events = parts.telling.events
    wanted = event_ids or [event.id for event in events.listing(state=Progress.FAILED)]
    unknown = 0
    for event_id in wanted:
        try:
            event = events.replay(event_id)
        except UnknownEvent as error:
            unknown += 1
            click.echo(str(error), err=True)
        else:
            show(f"{event.id}: {event.type} of {event.subject} is sent once more.")
    click.echo(f"{len(wanted) - unknown} of {len(wanted)} are due now.", err=True)
    sys.exit(1 if unknown else 0)
