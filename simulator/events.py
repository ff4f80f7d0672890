"""The words of each webhook, in the shapes that real captures have.

Here live payloads: pure functions of ids and times. Field order follows the captures.
https://developer.vonage.com/en/voice/voice-api/webhook-reference
"""

from __future__ import annotations

import math
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

REGION_URL = "https://api-us-3.vonage.com"


@dataclass
class Leg:
    """One endpoint's connection. `conversation_uuid` changes when the leg moves to a named conversation."""

    uuid: str
    conversation_uuid: str
    caller: str
    to: str
    direction: str = "inbound"


def new_conversation() -> str:
    return f"CON-{uuid.uuid4()}"


def inbound_leg(caller: str, to: str) -> Leg:
    """Real inbound leg ids are 32 hex digits without dashes."""
    return Leg(uuid.uuid4().hex, new_conversation(), caller, to)


def outbound_leg(caller: str, to: str, conversation_uuid: str) -> Leg:
    """Outbound ids have dashes."""
    return Leg(str(uuid.uuid4()), conversation_uuid, caller, to, "outbound")


def seconds(moment: float) -> str:
    """`2019-08-13T11:32:47Z`: recording times come without milliseconds."""
    return datetime.fromtimestamp(math.floor(moment), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def milliseconds(moment: float) -> str:
    """`2020-07-01T20:45:34.796Z`."""
    return datetime.fromtimestamp(moment, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def answer(leg: Leg) -> dict[str, Any]:
    """What the answer URL is told about an incoming phone call."""
    return {
        "region_url": REGION_URL,
        "from": leg.caller,
        "to": leg.to,
        "uuid": leg.uuid,
        "conversation_uuid": leg.conversation_uuid,
        "endpoint_type": "phone",
    }


def call(leg: Leg, status: str, moment: float) -> dict[str, Any]:
    """`started`, `ringing`, `answered` (its price and times still null) or any plain status."""
    event: dict[str, Any] = {
        "headers": {},
        "from": leg.caller,
        "to": leg.to,
        "uuid": leg.uuid,
        "conversation_uuid": leg.conversation_uuid,
        "status": status,
        "direction": leg.direction,
        "timestamp": milliseconds(moment),
    }
    return {**event, "start_time": None, "rate": None, "network": None} if status == "answered" else event


def completed(leg: Leg, start: float, end: float) -> dict[str, Any]:
    """The end of a leg. Its times are whole seconds written with `.000Z`; duration, rate and price are strings."""
    return {
        "headers": {},
        "end_time": milliseconds(math.floor(end)),
        "uuid": leg.uuid,
        "network": "US-VIRTUAL-LEVEL3",
        "duration": str(math.floor(end) - math.floor(start)),
        "start_time": milliseconds(math.floor(start)),
        "rate": "0.00450000",
        "price": "0.00052500",
        "from": leg.caller,
        "to": leg.to,
        "conversation_uuid": leg.conversation_uuid,
        "status": "completed",
        "direction": leg.direction,
        "disconnected_by": "user",
        "timestamp": milliseconds(end),
    }


def transfer(leg: Leg, to_conversation: str, moment: float) -> dict[str, Any]:
    """A leg moves to another conversation: no `status` and no `conversation_uuid`."""
    return {
        "conversation_uuid_from": leg.conversation_uuid,
        "type": "transfer",
        "uuid": leg.uuid,
        "conversation_uuid_to": to_conversation,
        "timestamp": milliseconds(moment),
    }


def error(leg: Leg, reason: str, moment: float) -> dict[str, Any]:
    return {"reason": reason, "conversation_uuid": leg.conversation_uuid, "timestamp": milliseconds(moment)}


def fallback(reason: str, url: str) -> dict[str, Any]:
    """What a fallback answer URL is told beside the usual words."""
    return {"reason": reason, "original_request": {"url": url, "type": "answer"}}


def recording(
    recording_uuid: str, conversation_uuid: str, url: str, size: int, start: float, end: float, moment: float
) -> dict[str, Any]:
    """The recording event: seven fields, and neither leg, numbers, format nor channels among them.

    `size` in bytes. An empty recording has size 0 and the URL "".
    https://developer.vonage.com/en/voice/voice-api/webhook-reference#record
    """
    return {
        "conversation_uuid": conversation_uuid,
        "end_time": seconds(end),
        "recording_url": url,
        "recording_uuid": recording_uuid,
        "size": size,
        "start_time": seconds(start),
        "timestamp": milliseconds(moment),
    }
