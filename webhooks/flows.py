"""What a call hears and how it is recorded: the five flows, each a pure function that builds an NCCO.

No request, no clock, no log here: settings and a few facts about the call in, a list of plain dictionaries out. Their
values have native types. An eventUrl is always a list of one URL, built on PUBLIC_URL and never on the Host header.
https://developer.vonage.com/en/voice/voice-api/ncco-reference
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Action = dict[str, Any]
Ncco = list[Action]

MAX_NAME = 100

VOICEMAIL_GREETING = "Please leave a message after the tone, then press the hash key."
VOICEMAIL_THANKS = "Thank you for your message. Goodbye."
CALL_ANNOUNCEMENT = "This call is recorded."


_PHONE = re.compile(r"\+?([0-9]{3,15})")
_SIP_USER = re.compile(r"sips?:([^@;]+)@.*", re.IGNORECASE)
_CALLER_ID = re.compile(r"[1-9][0-9]{6,14}")  # E.164


def phone_number(text: str | None) -> str:
    """A phone number as Vonage writes it, without the `+`; `""` when the text is no phone number."""
    match = _PHONE.fullmatch(text or "")
    return match[1] if match else ""


def caller_id(to: str | None) -> str:
    """The number that was called, fit to call others from it: also from a SIP address's user part. `""` without one."""
    sip = _SIP_USER.fullmatch(to or "")
    number = phone_number(sip[1] if sip else to)
    return number if _CALLER_ID.fullmatch(number) else ""


@dataclass(frozen=True)
class FlowSettings:
    """What the operator chose, checked and normalised by the settings: numbers are digits only, URLs end in no slash.

    `moderators` are callers' numbers. `voicemail`, `call` and `split` speak the `greeting`; when it is empty, each of
    them has a sentence of its own. Without `public_url` an NCCO has no eventUrl: then the recording event goes to the
    application's event URL, where it is understood, too.
    """

    public_url: str
    default_flow: str = "voicemail"
    recording_format: str = "mp3"
    forward_to: str = ""
    vonage_number: str = ""
    greeting: str = ""
    conversation_name: str = "tapekeeper"
    moderators: frozenset[str] = frozenset()
    hold_music_url: str = ""


@dataclass(frozen=True, slots=True)
class Caller:
    """What a flow needs to know of the call: the number that was called, and how the caller enters a conversation."""

    to: str | None = None
    name: str = ""
    moderator: bool = False


def build(settings: FlowSettings, flow: str, caller: Caller) -> Ncco:
    """The NCCO of one of `FLOWS`."""
    return FLOWS[flow](settings, caller)


def fallback(settings: FlowSettings) -> Ncco:
    """The NCCO that records when nothing else works: a voicemail, which needs no second number and no name."""
    return voicemail(settings, Caller())


def resolve(settings: FlowSettings, wanted: str | None) -> tuple[str, str]:
    """The flow to run, and a complaint for the log, or `""`. `wanted` is the flow in the URL; None: the configured one.

    A caller is waiting, so a mistake of the operator never ends in an error: there is always a flow that records.
    """
    complaint = ""
    flow = wanted or settings.default_flow
    if flow not in FLOWS:
        complaint = f"the answer URL names no flow of ours; write one of: {', '.join(FLOWS)}"
        flow = settings.default_flow
    if flow in ("call", "split") and not settings.forward_to:
        complaint, flow = f"the flow {flow!r} needs FORWARD_TO; a voicemail answers in its place", "voicemail"
    return flow, complaint


def records(ncco: object) -> bool:
    """Whether an NCCO, also one of a plugin, records. Vonage's own samples write `true` as text."""
    actions = [action for action in ncco if isinstance(action, dict)] if isinstance(ncco, list) else []
    return any(
        action.get("action") == "record"
        or (action.get("action") == "conversation" and str(action.get("record")).lower() == "true")
        for action in actions
    )


def expected(settings: FlowSettings, flow: str) -> tuple[str, int]:
    """The format and the number of channels of the recordings that a flow makes.

    A conversation has no `format`: it is MP3. https://developer.vonage.com/en/voice/voice-api/ncco-reference#conversation
    """
    if flow in ("conversation", "moderated"):
        return "mp3", 1
    return settings.recording_format, 2 if flow == "split" else 1


def conversation_name(settings: FlowSettings, wanted: str | None) -> str:
    """The name from the URL, else CONVERSATION_NAME. A name that is too long is not cut: two rooms could become one."""
    name = (wanted or "").strip()
    return name if name and len(name) <= MAX_NAME and name.isprintable() else settings.conversation_name


def is_moderator(
    settings: FlowSettings, role: str | None, caller_number: str | None, endpoint_type: str | None = None
) -> bool:
    """Whether the URL says so, or the caller's phone is one of MODERATORS. Callers by SIP choose their `from` freely.

    https://developer.vonage.com/en/voice/voice-api/webhook-reference#answer-webhook
    """
    if (role or "").strip().lower() == "moderator":
        return True
    by_phone = (endpoint_type or "phone").lower() == "phone"
    return by_phone and phone_number(caller_number) in settings.moderators


def voicemail(settings: FlowSettings, caller: Caller) -> Ncco:
    """A greeting, one recorded message, thanks.

    With any of the three stop conditions `record` waits for the message. It ends at a silence, at the hash key, or
    after five minutes. https://developer.vonage.com/en/voice/voice-api/ncco-reference#record
    """
    stop = {"endOnSilence": 5, "endOnKey": "#", "timeOut": 300, "beepStart": True}
    return [
        _talk(settings.greeting or VOICEMAIL_GREETING),
        _record(settings, "voicemail") | stop,
        _talk(VOICEMAIL_THANKS),
    ]


def call(settings: FlowSettings, caller: Caller) -> Ncco:
    """A forwarded call: both sides in one channel."""
    return _forwarded(settings, caller, _record(settings, "call"))


def split(settings: FlowSettings, caller: Caller) -> Ncco:
    """A forwarded call: the caller in the left channel, what the caller hears in the right one."""
    return _forwarded(settings, caller, _record(settings, "split") | {"split": "conversation", "channels": 2})


def _forwarded(settings: FlowSettings, caller: Caller, record: Action) -> Ncco:
    """`record` stands first, so that the announcement is in the recording, which proves that it was made.

    `record` has no stop condition here: with one, above all with `timeOut`, it would block, and the call would be
    connected only when the recording is over. Without any, it records until the call ends.
    https://github.com/Vonage/vonage-php-sdk-core/pull/493
    """
    connect: Action = {"action": "connect", "endpoint": [{"type": "phone", "number": settings.forward_to}]}
    # A call to a phone must come from a number of the account. The number that was called is one.
    own_number = settings.vonage_number or caller_id(caller.to)
    if own_number:
        connect["from"] = own_number
    return [record, _talk(settings.greeting or CALL_ANNOUNCEMENT), connect]


def conversation(settings: FlowSettings, caller: Caller) -> Ncco:
    """A named conversation. Every caller's NCCO says `record`, so it is recorded, whoever comes first or stays last.

    Whether that makes one recording or one for each caller is not documented: the catalogue takes any number.
    """
    return [_room(settings, caller) | {"record": True} | _events(settings, "conversation")]


def moderated(settings: FlowSettings, caller: Caller) -> Ncco:
    """A conversation that begins and ends with its moderator.

    Only the moderator's NCCO says `record`: there is one recording, and it misses nothing, because the conversation
    starts when the moderator joins.
    https://developer.vonage.com/en/voice/voice-api/guides/recording
    """
    room = _room(settings, caller)
    if caller.moderator:
        return [room | {"startOnEnter": True, "endOnExit": True, "record": True} | _events(settings, "moderated")]
    room["startOnEnter"] = False
    if settings.hold_music_url:
        room["musicOnHoldUrl"] = [settings.hold_music_url]
    return [room]


def _room(settings: FlowSettings, caller: Caller) -> Action:
    return {"action": "conversation", "name": caller.name or settings.conversation_name}


def _talk(text: str) -> Action:
    return {"action": "talk", "text": text}


def _record(settings: FlowSettings, flow: str) -> Action:
    # The format is always written, because its default changes with the number of channels.
    return {"action": "record", "format": settings.recording_format} | _events(settings, flow)


def _events(settings: FlowSettings, flow: str) -> Action:
    """Where the recording event goes. The URL names the flow, because the event itself does not tell the format."""
    if not settings.public_url:
        return {}
    return {"eventUrl": [f"{settings.public_url}/webhooks/recordings?flow={flow}"], "eventMethod": "POST"}


# By the name in the answer URL and in CALL_FLOW, which the settings check before this room is loaded.
FLOWS: dict[str, Callable[[FlowSettings, Caller], Ncco]] = {
    "voicemail": voicemail,
    "call": call,
    "split": split,
    "conversation": conversation,
    "moderated": moderated,
}
