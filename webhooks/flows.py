"""What a call hears and how it is recorded: the five flows as pure builders of NCCOs, plain dictionaries.

No request, no clock, no log here: settings and a few words of the call in, a list of actions out. Values have native
types; eventUrl is always a one-element array on PUBLIC_URL, never built on the Host header.
https://developer.vonage.com/en/voice/voice-api/ncco-reference
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Action = dict[str, Any]
Ncco = list[Action]

FORMATS = ("mp3", "wav", "ogg")
MAX_NAME = 100
MAX_TALK = 1500  # https://developer.vonage.com/en/voice/voice-api/ncco-reference#talk

VOICEMAIL_GREETING = "Please leave a message after the tone, then press the hash key."
VOICEMAIL_THANKS = "Thank you for your message. Goodbye."
CALL_ANNOUNCEMENT = "This call is recorded."


def digits(number: str | None) -> str:
    """A phone number as Vonage writes it: digits only, without the `+`."""
    return re.sub(r"[^0-9]", "", number or "")


@dataclass(frozen=True)
class FlowSettings:
    """What the operator chose. Numbers may be written with `+` and spaces; `moderators` are callers' numbers.

    `greeting` is spoken by `voicemail`, `call` and `split`; empty means each flow's own sentence. Without `public_url`
    an NCCO has no eventUrl, and the recording event goes to the application's event URL, where it is understood too.
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

    def __post_init__(self) -> None:
        if self.default_flow not in FLOWS:
            raise ValueError(f"CALL_FLOW is {self.default_flow!r}. Write one of: {', '.join(FLOWS)}.")
        if self.recording_format not in FORMATS:
            raise ValueError(f"RECORDING_FORMAT is {self.recording_format!r}. Write one of: {', '.join(FORMATS)}.")
        normal = {
            "public_url": (self.public_url or "").rstrip("/"),
            "forward_to": digits(self.forward_to),
            "vonage_number": digits(self.vonage_number),
            "greeting": (self.greeting or "").strip()[:MAX_TALK],
            "moderators": frozenset(filter(None, map(digits, self.moderators))),
        }
        for name, value in normal.items():
            object.__setattr__(self, name, value)


@dataclass(frozen=True, slots=True)
class Caller:
    """What a flow may want to know of the call: the number that was called, and how it enters a conversation."""

    to: str | None = None
    name: str = ""
    moderator: bool = False


def build(settings: FlowSettings, flow: str, caller: Caller) -> Ncco:
    """The NCCO of one of `FLOWS`."""
    return _BUILDERS[flow](settings, caller)


def fallback(settings: FlowSettings) -> Ncco:
    """What still records when nothing else works: a voicemail, which needs no second number and no name."""
    return voicemail(settings, Caller())


def resolve(settings: FlowSettings, wanted: str | None) -> tuple[str, str]:
    """The flow to run for the one in the URL (None: the configured one), and a complaint for the log, or `""`.

    A caller is waiting, so an operator's slip never ends in an error: there is always a flow that records.
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
    """Whether an NCCO, a plugin's too, says that something be recorded. Documented samples write `true` as text."""
    actions = [action for action in ncco if isinstance(action, dict)] if isinstance(ncco, list) else []
    return any(
        action.get("action") == "record"
        or (action.get("action") == "conversation" and str(action.get("record")).lower() == "true")
        for action in actions
    )


def expected(settings: FlowSettings, flow: str) -> tuple[str, int]:
    """Format and number of channels of the recordings that a flow makes.

    A conversation has no `format`: it is MP3. https://developer.vonage.com/en/voice/voice-api/ncco-reference#conversation
    """
    if flow in ("conversation", "moderated"):
        return "mp3", 1
    return settings.recording_format, 2 if flow == "split" else 1


def conversation_name(settings: FlowSettings, wanted: str | None) -> str:
    """The name from the URL when it is a sane one, else CONVERSATION_NAME. Cutting it short would join two rooms."""
    name = (wanted or "").strip()
    return name if name and len(name) <= MAX_NAME and name.isprintable() else settings.conversation_name


def is_moderator(settings: FlowSettings, role: str | None, caller_number: str | None) -> bool:
    """The URL says so, or the caller is one of MODERATORS."""
    return (role or "").strip().lower() == "moderator" or digits(caller_number) in settings.moderators


def voicemail(settings: FlowSettings, caller: Caller) -> Ncco:
    """Greeting, one recorded message, thanks.

    Any of the three stop conditions makes `record` wait for the message; together they end it at a silence, at the
    hash key, or after five minutes. https://developer.vonage.com/en/voice/voice-api/ncco-reference#record
    """
    stop = {"endOnSilence": 5, "endOnKey": "#", "timeOut": 300, "beepStart": True}
    return [
        _talk(settings.greeting or VOICEMAIL_GREETING),
        _record(settings, "voicemail") | stop,
        _talk(VOICEMAIL_THANKS),
    ]


def call(settings: FlowSettings, caller: Caller) -> Ncco:
    """Both sides of a forwarded call, mixed."""
    return _forwarded(settings, caller, _record(settings, "call"))


def split(settings: FlowSettings, caller: Caller) -> Ncco:
    """Both sides of a forwarded call, each in a channel of its own: the caller left, what the caller hears right."""
    return _forwarded(settings, caller, _record(settings, "split") | {"split": "conversation", "channels": 2})


def _forwarded(settings: FlowSettings, caller: Caller, record: Action) -> Ncco:
    """`record` stands first, so that the announcement is on the tape as well: it proves that it was made.

    It has no stop condition, and above all no `timeOut`: with one it would block, and the call be connected only when
    the recording is over. Without any it goes on until the call ends.
    https://github.com/Vonage/vonage-php-sdk-core/pull/493
    """
    connect: Action = {"action": "connect", "endpoint": [{"type": "phone", "number": settings.forward_to}]}
    # A call to a phone must come from a number of the account: where none is set, the one that was called is.
    own_number = settings.vonage_number or digits(caller.to)
    if own_number:
        connect["from"] = own_number
    return [record, _talk(settings.greeting or CALL_ANNOUNCEMENT), connect]


def conversation(settings: FlowSettings, caller: Caller) -> Ncco:
    """A named conversation. Everybody's NCCO says `record`, so that it is recorded whoever comes first or stays last.

    Nobody documents whether that makes one recording or one for each: the catalogue takes any number of them.
    """
    return [_room(settings, caller) | {"record": True} | _events(settings, "conversation")]


def moderated(settings: FlowSettings, caller: Caller) -> Ncco:
    """A conversation that begins and ends with its moderator.

    Only the moderator says `record`: the recording starts when the moderator joins, so it misses nothing and is one.
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
    # The format is always written out: its default changes with the number of channels.
    return {"action": "record", "format": settings.recording_format} | _events(settings, flow)


def _events(settings: FlowSettings, flow: str) -> Action:
    """Where the recording event goes. The flow rides along, because the event itself does not tell the format."""
    if not settings.public_url:
        return {}
    return {"eventUrl": [f"{settings.public_url}/webhooks/recordings?flow={flow}"], "eventMethod": "POST"}


_BUILDERS: dict[str, Callable[[FlowSettings, Caller], Ncco]] = {
    "voicemail": voicemail,
    "call": call,
    "split": split,
    "conversation": conversation,
    "moderated": moderated,
}
FLOWS = tuple(_BUILDERS)
