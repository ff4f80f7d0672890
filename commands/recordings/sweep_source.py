"""`flask recordings sweep-source`: an experiment that looks for missing recordings in Vonage's media API."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Protocol

import click

from commands.parts import show, with_parts
from commands.since import parse_since
from recordings.care import media_api
from recordings.care.media_api import MediaLibrary
from recordings.clock import iso_utc, utc_now
from recordings.model import conversation_key

if TYPE_CHECKING:
    from recordings.archive.fetch import Fetcher
    from recordings.care.media_api import Candidate
    from recordings.catalogue.database import Database
    from recordings.catalogue.intake import Intake
    from recordings.catalogue.missing import MissingCalls
    from settings import Settings


class Parts(Protocol):
    """What this command uses."""

    @property
    def settings(self) -> Settings: ...
    @property
    def database(self) -> Database: ...
    @property
    def fetcher(self) -> Fetcher: ...
    @property
    def missing(self) -> MissingCalls: ...
    @property
    def intake(self) -> Intake: ...


@click.command("sweep-source", short_help="Experiment: look for lost recordings at Vonage.")
@click.option(
    "--since",
    callback=parse_since,
    help="Files made since then. Default: 30d, which is for how long Vonage keeps them.",
)
@click.option(
    "--url", default=media_api.DEFAULT_BASE, show_default=True, help="The API's base; RECORDING_HOSTS must allow it."
)
@click.option("--take", "media_id", metavar="ID", help="Announce this file as a recording of --conversation.")
@click.option("--conversation", "conversation_uuid", metavar="CON-…", help="The conversation that it belongs to.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@with_parts
def command(
    parts: Parts, since: datetime | None, url: str, media_id: str | None, conversation_uuid: str | None, as_json: bool
) -> None:
    """List files at Vonage that could be missing recordings. EXPERIMENTAL: needs EXPERIMENTAL_MEDIA_API=true.

    Unproven, all of it: that Vonage's media API (beta, not documented for Voice) lists recordings of calls; that it
    takes an application's token; that a file's id there is the id in a recording's URL. An empty list proves nothing.

    Files are compared with the calls of `flask recordings missing` by time and size, which is a hint and no proof:
    listen to what was fetched. No file is taken in by itself. --take ID --conversation CON-… announces one file as a
    recording of origin `media`, with the file's id as its recording_uuid; a worker then fetches it like any other.
    Should its true event come after all, the same audio is kept twice.
    """
    if bool(media_id) != bool(conversation_uuid):
        raise click.UsageError("--take and --conversation go together.")
    if not parts.settings.experimental_media_api:
        raise click.ClickException(
            "This asks an API that nobody has proven for recordings. If you want to try it, set "
            "EXPERIMENTAL_MEDIA_API=true, and read the help first: flask recordings sweep-source --help"
        )
    library = MediaLibrary(parts.fetcher, url)
    if media_id and conversation_uuid:
        _take(parts, library, media_id, conversation_uuid, as_json)
    else:
        _list(parts, library, since, as_json)


def _list(parts: Parts, library: MediaLibrary, since: datetime | None, as_json: bool) -> None:
    now = utc_now()
    files = library.listing(since or now - timedelta(days=30), now + timedelta(days=1))
    candidates = media_api.candidates(parts.database, files, list(parts.missing.listing()))
    if as_json:
        for candidate in candidates:
            click.echo(json.dumps(_as_json(candidate)))
    else:
        _show_table(candidates)


def _take(parts: Parts, library: MediaLibrary, media_id: str, conversation_uuid: str, as_json: bool) -> None:
    key = conversation_key(conversation_uuid)
    calls = [call for call in parts.missing.listing() if conversation_key(call.conversation_uuid or "") == key]
    item = library.find(media_id)
    event = media_api.announcement(library, item, conversation_uuid, calls[0] if calls else None)
    accepted = parts.intake.accept(media_api.delivery(item, parts.settings.vonage_application_id), [event])
    if as_json:
        click.echo(json.dumps({"recording_uuid": event.recording_uuid, "outcome": accepted.outcome}))
    else:
        click.echo(f"Taken in as {event.recording_uuid}: {accepted.outcome}.")
    if not calls:
        click.echo(f"No missing call is known for {conversation_uuid}; the file is announced all the same.", err=True)
    click.echo(f"See how it goes with: flask recordings show {event.recording_uuid}", err=True)


def _as_json(candidate: Candidate) -> dict[str, Any]:
    item = candidate.media
    return {
        "id": item.id,
        "name": item.name,
        "mime_type": item.mime_type,
        "size": item.size,
        "created": iso_utc(item.created) if item.created else None,
        "known": candidate.known,
        "fits": [call.conversation_uuid for call in candidate.calls],
    }


def _show_table(candidates: Iterable[Candidate]) -> None:
    rows = [
        [row["id"], row["created"] or "-", row["size"], "known" if row["known"] else ", ".join(row["fits"]) or "-"]
        for row in map(_as_json, candidates)
    ]
    if not rows:
        click.echo("The media API listed nothing, which proves nothing.", err=True)
        return
    from tabulate import tabulate

    show(tabulate(rows, headers=["id", "created", "size", "known, or fits the call"], disable_numparse=True))
