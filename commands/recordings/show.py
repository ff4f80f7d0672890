"""`flask recordings …`: what was taken in, where it lies, what is wrong with it, and another try."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

import click
from flask.cli import AppGroup
from tabulate import tabulate

from recordings.catalogue import listing
from recordings.model import Copy, Recording, State

from .services import Services, services

recordings = AppGroup("recordings", help="List recordings, look at one, try one again.")


@recordings.command("list")
@click.option("--state", type=click.Choice([state.value for state in State]), help="Only those that show this state.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def list_(state: str | None, as_json: bool) -> None:
    """Every recording, oldest first. Exit code 0, also when there is none."""
    with services() as parts:
        found = listing.listing(parts.database, state=State(state) if state else None)
        if as_json:
            for recording in found:
                click.echo(json.dumps(as_json_object(recording)))
        else:
            _show_table(found)


@recordings.command()
@click.argument("recording_uuid")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def show(recording_uuid: str, as_json: bool) -> None:
    """Everything known of one recording: its event, its call, its copies, its transcriptions.

    Exit code 1 when there is no such recording.
    """
    with services() as parts:
        for recording in _found(parts, recording_uuid):
            told = as_json_object(recording) | {
                "recording_url": recording.recording_url,
                "call_events": [_plain(row) for row in listing.call_history(parts.database, recording)],
                "transcriptions": [_plain(row) for row in listing.transcripts(parts.database, recording)],
            }
            click.echo(json.dumps(told) if as_json else _as_text(told))


@recordings.command()
@click.argument("recording_uuid")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def retry(recording_uuid: str, as_json: bool) -> None:
    """Try every copy of a recording that is not stored again, now.

    A running worker takes it up within seconds. Exit code 1 when there is no such recording.
    """
    with services() as parts:
        _found(parts, recording_uuid)
        due = parts.leases.retry(recording_uuid)
        _dispatch(parts, due)
    if as_json:
        click.echo(json.dumps({"recording_uuid": recording_uuid, "copies_due": len(due)}))
    elif due:
        click.echo(
            f"{len(due)} of its copies are due now; see how it goes with: flask recordings show {recording_uuid}"
        )
    else:
        click.echo("There is nothing to try: each copy is stored or being fetched, or nothing was recorded.")


def as_json_object(recording: Recording) -> dict[str, Any]:
    """A recording as `--json` shows it; times are ISO 8601 in UTC, sizes bytes."""
    return {
        "recording_uuid": recording.recording_uuid,
        "conversation_uuid": recording.conversation_uuid,
        "state": recording.state.value,
        "start_time": _plain(recording.start_time),
        "end_time": _plain(recording.end_time),
        "size": recording.size,
        "received_at": _plain(recording.received_at),
        "copies": [_copy(copy) for copy in recording.copies],
        "application_id": recording.application_id,
        "origin": recording.origin,
        "flow": recording.flow,
        "format": recording.format,
        "channels": recording.channels,
        "direction": recording.direction,
        "from": recording.from_,
        "to": recording.to,
    }


def _copy(copy: Copy) -> dict[str, Any]:
    return {
        "storage": copy.storage,
        "key": copy.key,
        "state": copy.state.value,
        "size": copy.size,
        "sha256": copy.sha256,
        "content_type": copy.content_type,
        "attempts": copy.attempts,
        "error": copy.error,
        "stored_at": _plain(copy.stored_at),
        "next_attempt_at": _plain(copy.next_attempt_at),
    }


def _dispatch(parts: Services, copy_ids: list[int]) -> None:
    try:
        for copy_id in copy_ids:
            parts.engine.dispatch(copy_id)
    except Exception as error:  # whatever the queue's driver, or a missing setting of the worker's, raises
        click.echo(f"The queue was not told ({error}); a worker's sweep finds it within 15 s.", err=True)


def _found(parts: Services, recording_uuid: str) -> list[Recording]:
    found = listing.find(parts.database, recording_uuid)
    if not found:
        raise click.ClickException(f"There is no recording {recording_uuid}. See all with: flask recordings list")
    return found


def _show_table(found: Iterable[Recording]) -> None:
    rows = [
        [
            recording.recording_uuid,
            recording.state.value,
            recording.flow or "-",
            _plain(recording.received_at.replace(microsecond=0)),
            "-" if recording.size is None else recording.size,
            "; ".join(dict.fromkeys(copy.error or copy.key or copy.storage for copy in recording.copies)) or "-",
        ]
        for recording in found
    ]
    if rows:
        click.echo(tabulate(rows, headers=["recording", "state", "flow", "received", "size", "where, or why not"]))
    else:
        click.echo("No recordings yet.", err=True)


def _as_text(told: dict[str, Any]) -> str:
    lines = []
    for name, value in told.items():
        if isinstance(value, list):
            lines.append(f"{name}:" if value else f"{name}: none")
            lines += ["\n".join(f"    {k}: {'-' if v is None else v}" for k, v in one.items()) + "\n" for one in value]
        else:
            lines.append(f"{name}: {'-' if value is None else value}")
    return "\n".join(lines).rstrip()


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    return {name: _plain(one) for name, one in value.items()} if isinstance(value, dict) else value
