"""`flask recordings adopt`: give a recording the URL of a later delivery, because a person decided so."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import click

from commands.deliveries.options import DeliveryNumber
from commands.parts import with_parts

from .access_notes import note_access

if TYPE_CHECKING:
    from recordings.catalogue.database import Database
    from recordings.catalogue.inbox import Inbox, Interpret


class Parts(Protocol):
    """What this command uses. `interpreter` says what a stored delivery means by the settings of today."""

    @property
    def database(self) -> Database: ...
    @property
    def inbox(self) -> Inbox: ...
    @property
    def interpreter(self) -> Interpret: ...


@click.command("adopt", short_help="Fetch a recording from the URL of a later delivery.")
@click.argument("delivery_id", metavar="DELIVERY", type=DeliveryNumber())
@with_parts
def command(parts: Parts, delivery_id: int) -> None:
    """Fetch a recording from the URL of a later delivery, when the first URL was wrong.

    The first URL of a recording stands, and a later delivery with another one is kept as a conflict. DELIVERY is the
    number of such a delivery, which `flask deliveries list --outcome conflict` shows: its URL replaces the first one,
    and the recording's copies are due at once. Only where no copy is stored yet, and only once you know that the
    delivery is Vonage's.
    """
    stored = parts.inbox.find(delivery_id)
    note_access(
        parts.database, "adopt", recording_id=stored.recording_id, detail=f"delivery {delivery_id}, {stored.outcome}"
    )
    copy_ids = parts.inbox.adopt(delivery_id, parts.interpreter)
    count = f"{len(copy_ids)} {'copy is' if len(copy_ids) == 1 else 'copies are'}"
    click.echo(f"The recording has the URL of delivery {delivery_id} now; {count} due. A running worker fetches it.")
