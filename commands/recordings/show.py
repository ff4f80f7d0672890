"""`flask recordings show`: everything known of one recording."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Protocol

import click

from commands.parts import show, with_parts
from recordings.catalogue.as_json import as_json_object, plain

if TYPE_CHECKING:
    from recordings.catalogue.database import Database
    from recordings.model import Recording


class Parts(Protocol):
    """What this command uses."""

    @property
    def database(self) -> Database: ...


@click.command("show", short_help="Everything known of one recording.")
@click.argument("recording_uuid")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
@with_parts
def command(parts: Parts, recording_uuid: str, as_json: bool) -> None:
    """Everything known of one recording: its event, its call, its copies, the attempts that failed, its transcriptions.

    Exit code 1 when there is no such recording.
    """
    from recordings.catalogue import listing
    from recordings.catalogue.attempts import failed_attempts

    for recording in recordings_with(parts.database, recording_uuid):
        particulars = as_json_object(recording) | {
            "recording_url": recording.recording_url,
            "failed_attempts": [attempt.as_json_object() for attempt in failed_attempts(parts.database, recording)],
            "call_events": [plain(row) for row in listing.call_history(parts.database, recording)],
            "transcriptions": [plain(row) for row in listing.transcripts(parts.database, recording)],
        }
        show(json.dumps(particulars) if as_json else _as_text(particulars))


def recordings_with(database: Database, recording_uuid: str) -> list[Recording]:
    """The recordings of this id: one for each application that announced it. One line and exit code 1 for none."""
    from recordings.catalogue import listing

    recordings = listing.find(database, recording_uuid)
    if not recordings:
        raise click.ClickException(f"There is no recording {recording_uuid}. See all with: flask recordings list")
    return recordings


def _as_text(particulars: dict[str, Any]) -> str:
    lines = []
    for name, value in particulars.items():
        if isinstance(value, list):
            lines.append(f"{name}:" if value else f"{name}: none")
            lines += ["\n".join(f"    {k}: {'-' if v is None else v}" for k, v in row.items()) + "\n" for row in value]
        else:
            lines.append(f"{name}: {'-' if value is None else value}")
    return "\n".join(lines).rstrip()
