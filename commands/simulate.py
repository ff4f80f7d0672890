"""`flask simulate call FLOW`: a pretend Vonage calls the running app, and shows what becomes of the recording."""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

import click

from settings import FLOWS

from .parts import with_parts

if TYPE_CHECKING:
    from recordings.archive.credentials import ApplicationToken
    from recordings.catalogue.database import Database
    from recordings.model import Recording
    from settings import Settings
    from simulator import MadeRecording, PretendVonage


_FLOW = re.compile(r".*[?&]flow=([a-z]+).*")


class Parts(Protocol):
    """What this command uses."""

    @property
    def settings(self) -> Settings: ...
    @property
    def database(self) -> Database: ...
    @property
    def token(self) -> ApplicationToken: ...


command = click.Group("simulate", help="Try the running app without Vonage.")


@command.command(short_help="Place a call, as Vonage would.")
@click.argument("flow", type=click.Choice(FLOWS))
@click.option("--url", help="The running app, such as http://127.0.0.1:8000. Default: PUBLIC_URL.")
@click.option("--port", default=4010, show_default=True, help="Where the pretend Vonage serves the audio.")
@click.option("--timeout", default=60.0, show_default=True, help="Seconds to wait for the archive.")
@with_parts
def call(parts: Parts, flow: str, url: str | None, port: int, timeout: float) -> None:
    """Place one call, as Vonage would, and wait until its recording is archived.

    The app must be running with the same settings as this command. RECORDING_HOSTS must hold the pretend Vonage's
    address (http://127.0.0.1:4010), and this machine must reach the app at PUBLIC_URL. Exit code 1 when the recording
    was not stored.
    """
    base = (url or parts.settings.public_url).rstrip("/")
    if not base:
        raise click.UsageError("Say where the app runs: --url http://127.0.0.1:8000, or set PUBLIC_URL.")
    _must_be_trusted(parts, f"http://127.0.0.1:{port}")
    sys.exit(0 if _place(parts, base, flow, port, timeout) else 1)


def _must_be_trusted(parts: Parts, origin: str) -> None:
    from recordings.archive.hosts import HostRule

    if not HostRule.parse(parts.settings.recording_hosts).allows(origin):
        raise click.ClickException(
            f"RECORDING_HOSTS does not hold {origin}, so the app would not fetch from there. For a trial, start both "
            f'the app and this command with RECORDING_HOSTS="{origin}".'
        )


def _place(parts: Parts, base: str, flow: str, port: int, timeout: float) -> bool:
    """Place the call. True when something was recorded, and all of it was stored."""
    with _pretend_vonage(parts, port) as vonage:
        click.echo(f"Calling {base}/webhooks/answer/{flow} …")
        result = vonage.call_flow(base, flow)
        for answer in result.answers:
            status = answer.reply.status or "nothing"
            click.echo(f"  answered {status} in {answer.reply.seconds * 1000:.0f} ms")
        for complaint in result.complaints:
            click.echo(f"  Vonage would complain: {complaint}", err=True)
        if not result.recordings:
            click.echo(f"Nothing was recorded. Is the app running at {base}? See its log.", err=True)
        _warn_of_another_flow(flow, result.recordings)
        stored = [_follow(parts, made, timeout) for made in result.recordings]
    return bool(stored) and all(stored)


def _warn_of_another_flow(flow: str, recordings: Sequence[MadeRecording]) -> None:
    """Say so where another flow answered than the one that was asked for: our own event URLs name it."""
    urls = [made.event.url for made in recordings if made.event]
    others = sorted({_FLOW.sub(r"\1", url) for url in urls if _FLOW.match(url)} - {flow})
    if others:
        click.echo(
            f"  The flow {', '.join(others)} answered in place of {flow}: a setting that {flow} needs is missing where "
            "the app runs. Its log names it, and so does: flask doctor",
            err=True,
        )


def _pretend_vonage(parts: Parts, port: int) -> PretendVonage:
    from simulator import PretendVonage

    settings = parts.settings
    secret = settings.vonage_signature_secret[0] if settings.vonage_signature_secret else "none"
    try:
        return PretendVonage(settings.vonage_application_id, parts.token.public_pem(), secret, port=port)
    except OSError as error:
        raise click.ClickException(
            f"Port {port} cannot be used: {error.strerror}. Choose another with --port."
        ) from error


def _follow(parts: Parts, made: MadeRecording, timeout: float) -> bool:
    """Wait until the recording's way has ended. True when it is stored."""
    from recordings.catalogue import listing
    from recordings.model import State

    for reply in made.replies:
        click.echo(
            f"  recording {made.recording_uuid}, {made.size} bytes: event answered {reply.status or reply.error}"
        )
    if not any(reply.accepted for reply in made.replies):
        click.echo(_why_not_taken_in(parts, made), err=True)
        return False
    ended = (State.STORED, State.FAILED, State.BLOCKED, State.EMPTY)
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        recordings = listing.find(parts.database, made.recording_uuid)
        if recordings and recordings[0].state in ended:
            return _report(recordings[0], made)
        time.sleep(0.2)
    click.echo(
        f"It was not archived within {timeout:.0f} s. See: flask recordings show {made.recording_uuid}. With "
        "EMBEDDED_WORKER=false, flask worker must run beside the app.",
        err=True,
    )
    return False


def _why_not_taken_in(parts: Parts, made: MadeRecording) -> str:
    if any(reply.status for reply in made.replies):
        return "The app refused the recording event: start it with the same settings as this command, and see its log."
    return (
        f"The recording event goes to PUBLIC_URL, and {parts.settings.public_url or 'an empty one'} does not answer. "
        "For a trial, start both the app and this command with PUBLIC_URL=http://127.0.0.1:8000, where the app listens."
    )


def _report(recording: Recording, made: MadeRecording) -> bool:
    """Print each copy. True when the recording is stored and each copy has the bytes that were served."""
    from recordings.model import State

    for copy in recording.copies:
        same = "the same bytes" if copy.sha256 == made.sha256 else "OTHER BYTES than were served"
        text = f"{copy.key} in {copy.storage}, {same}" if copy.state is State.STORED else copy.error
        click.echo(f"  {copy.state.value}: {text}")
    return recording.state is State.STORED and all(copy.sha256 == made.sha256 for copy in recording.copies)
