"""`flask recordings retry`: try again, now."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Protocol

import click

from commands.parts import with_parts

from .access_notes import note_access
from .show import recordings_with

if TYPE_CHECKING:
    from recordings.catalogue.database import Database
    from recordings.catalogue.schedule import Schedule


class Parts(Protocol):
    """What this command uses."""

    @property
    def database(self) -> Database: ...
    @property
    def schedule(self) -> Schedule: ...


@click.command("retry", short_help="Try a recording again, now.")
@click.argument("recording_uuid")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
@with_parts
def command(parts: Parts, recording_uuid: str, as_json: bool) -> None:
    """Try every copy of a recording that is not stored again, now.

    A running worker takes the copies up within seconds. Exit code 1 when there is no such recording.
    """
    from recordings.catalogue.listing import last_row

    recordings_with(parts.database, recording_uuid)
    note_access(parts.database, "retry", recording_id=last_row(parts.database, recording_uuid))
    due = parts.schedule.retry(recording_uuid)
    if as_json:
        click.echo(json.dumps({"recording_uuid": recording_uuid, "copies_due": len(due)}))
    elif due:
        click.echo(
            f"{len(due)} of its copies are due now; see how it goes with: flask recordings show {recording_uuid}"
        )
    else:
        click.echo("There is nothing to try: each copy is stored or being fetched, or nothing was recorded.")
