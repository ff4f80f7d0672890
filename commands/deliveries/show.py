"""`flask deliveries show`: one delivery, its body as it came, and what it led to."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Protocol

import click

from commands.parts import show, with_parts
from recordings.catalogue.as_json import delivery_as_json_object

from .options import DeliveryNumber

if TYPE_CHECKING:
    from recordings.catalogue.database import Database
    from recordings.catalogue.inbox import Inbox, StoredDelivery


class Parts(Protocol):
    """What this command uses."""

    @property
    def inbox(self) -> Inbox: ...
    @property
    def database(self) -> Database: ...


@click.command("show", short_help="One delivery, and what it led to.")
@click.argument("delivery_id", type=DeliveryNumber())
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
@with_parts
def command(parts: Parts, delivery_id: int, as_json: bool) -> None:
    """One delivery: what is known of its request, its body as it came, and what it led to.

    Exit code 1 when it is not kept.
    """
    stored = parts.inbox.find(delivery_id)
    particulars = delivery_as_json_object(stored) | _body(stored.delivery.body) | {"led_to": _led_to(parts, stored)}
    show(json.dumps(particulars) if as_json else _as_text(particulars))


def _body(body: bytes) -> dict[str, str]:
    """The body as text; in hex when it holds control characters, which a terminal would obey."""
    text = body.decode("utf-8", "replace")
    if "\ufffd" in text or not all(char.isprintable() or char in "\t\r\n" for char in text):
        return {"body_hex": body.hex()}
    return {"body": text}


def _led_to(parts: Parts, stored: StoredDelivery) -> list[str]:
    from recordings.catalogue import listing

    results = [
        f"recording {recording.recording_uuid}: {recording.state.value}"
        for recording in listing.find(parts.database, stored.recording_uuid or "")
    ]
    for row in parts.inbox.events_of(stored.id):
        if "kind" in row:
            results.append(f"call event {row['kind']} of conversation {row['conversation_key']}, leg {row['leg_uuid']}")
        else:
            results.append(f"transcription of {row['recording_uuid']}: {row['status']}")
    return results


def _as_text(particulars: dict[str, Any]) -> str:
    lines = []
    for name, value in particulars.items():
        if name == "led_to":
            lines.append("led to: " + ("; ".join(value) or "nothing"))
        elif name.startswith("body") and name != "body_size":
            lines.append(f"{name.replace('_', ' in ')}:\n{value}")
        else:
            lines.append(f"{name}: {'-' if value is None or value == '' else value}")
    return "\n".join(lines)
