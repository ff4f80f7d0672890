"""What each option of each NCCO action may hold, as one table.

Here live single values: types, ranges, URLs. Rules between options or actions are in `ncco`.
https://developer.vonage.com/en/voice/voice-api/ncco-reference - where that page and an SDK differ, the page stands.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

# A check answers what the value must be, or None when it is that. The flag forbids numbers and booleans in strings.
Check = Callable[[Any, bool], str | None]


def is_true(value: Any) -> bool:
    """True, or the string that the platform takes for it."""
    return value is True or (isinstance(value, str) and value.lower() == "true")


def one_of(*allowed: str) -> Check:
    def check(value: Any, _: bool) -> str | None:
        return None if isinstance(value, str) and value in allowed else f"must be {' or '.join(map(repr, allowed))}"

    return check


def boolean(value: Any, native_only: bool) -> str | None:
    """The guide's own samples write "true": strings pass."""
    if isinstance(value, bool):
        return None
    if isinstance(value, str) and value in ("true", "false"):
        return "must be a boolean, not a string" if native_only else None
    return "must be true or false"


def whole(low: int, high: int | None = None) -> Check:
    return _number(low, high, int)


def decimal(low: float, high: float | None = None) -> Check:
    return _number(low, high, float)


def _number(low: float, high: float | None, kind: type[int] | type[float]) -> Check:
    span = f"of at least {low}" if high is None else f"from {low} to {high}"
    must = f"must be a {'whole ' if kind is int else ''}number {span}"

    def check(value: Any, native_only: bool) -> str | None:
        number = _parse(value, kind)
        if number is None or number < low or (high is not None and number > high):
            return must
        return f"{must}, not a string" if native_only and isinstance(value, str) else None

    return check


def _parse(value: Any, kind: type[int] | type[float]) -> float | None:
    pattern = r"-?[0-9]{1,9}" if kind is int else r"-?[0-9]{1,9}(\.[0-9]{1,9})?"
    if isinstance(value, str):
        return float(value) if re.fullmatch(pattern, value) else None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return value if math.isfinite(value) and (kind is float or isinstance(value, int)) else None


def text(value: Any, _: bool) -> str | None:
    return None if isinstance(value, str) and value.strip() else "must be a string that is not empty"


def matching(pattern: str, must: str) -> Check:
    def check(value: Any, _: bool) -> str | None:
        return None if isinstance(value, str) and re.fullmatch(pattern, value) else must

    return check


def url(value: Any, _: bool = False) -> str | None:
    must = "must be an absolute http or https URL"
    if not isinstance(value, str) or re.search(r"[\s\x00-\x1f\x7f\\]", value):
        return must
    try:
        parts = urlsplit(value)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        return must
    return None if usable else must


def urls(value: Any, _: bool) -> str | None:
    """In all actions `eventUrl` MUST be an array, even of a single value."""
    if not isinstance(value, list) or len(value) != 1:
        return "must be an array of exactly one URL"
    complaint = url(value[0])
    return complaint and f"{complaint} in its array"


def legs(value: Any, _: bool) -> str | None:
    fine = isinstance(value, list) and all(isinstance(leg, str) and leg for leg in value)
    return None if fine else "must be an array of leg ids"


def anything(_: Any, __: bool) -> str | None:
    return None


def an_object(value: Any, _: bool) -> str | None:
    return None if isinstance(value, dict) else "must be an object"


def table(options: Mapping[str, Check], *required: str) -> Check:
    """An object with these options and no others."""

    def check(value: Any, native_only: bool) -> str | None:
        if not isinstance(value, dict):
            return "must be an object"
        if missing := [option for option in required if option not in value]:
            return f"needs {missing[0]}"
        first = next(complaints_about(value, options, native_only), None)
        return first and "is wrong inside: " + first.rstrip(".")

    return check


def complaints_about(values: Mapping[str, Any], options: Mapping[str, Check], native_only: bool) -> Iterator[str]:
    """A sentence for each value that its option refuses, and for each option that is not known."""
    for option, value in values.items():
        if option not in options:
            yield f"option {option} is unknown; known are {', '.join(options)}."
        elif (must := options[option](value, native_only)) is not None:
            yield f"option {option} {must}."


def endpoint(value: Any, native_only: bool) -> str | None:
    """Exactly one; what it holds depends on its type."""
    if not isinstance(value, list) or len(value) != 1:
        return "must be an array of exactly one endpoint"
    kind = value[0].get("type") if isinstance(value[0], dict) else None
    if not isinstance(kind, str) or kind not in ENDPOINTS:
        return f"must hold an endpoint whose type is one of {', '.join(ENDPOINTS)}"
    if kind == "sip" and "uri" not in value[0] and not {"user", "domain"} <= value[0].keys():
        return "must hold a sip endpoint with uri, or with user and domain"
    return ENDPOINTS[kind](value[0], native_only)


def input_types(value: Any, _: bool) -> str | None:
    fine = isinstance(value, list) and value and all(word in ("dtmf", "speech") for word in value)
    return None if fine else "must be an array of 'dtmf', 'speech' or both"


EVENTS: dict[str, Check] = {"eventUrl": urls, "eventMethod": one_of("GET", "POST")}
TRANSCRIPTION = table({"language": text, **EVENTS, "sentimentAnalysis": boolean})
NUMBER = matching(r"\+?[0-9]{1,15}", "must be a number in E.164 form")
HEARING: dict[str, Check] = {"canSpeak": legs, "canHear": legs, "mute": boolean}
KIND: dict[str, Check] = {"type": text}

ENDPOINTS: dict[str, Check] = {
    "phone": table(
        {
            **KIND,
            "number": NUMBER,
            "dtmfAnswer": matching(r"[0-9*#p]+", "must be keys 0-9, *, # and p for a pause"),
            "onAnswer": table({"url": url, "ringbackTone": url, "ringback": url}, "url"),
            "shaken": text,
        },
        "number",
    ),
    "app": table({**KIND, "user": text}, "user"),
    "websocket": table(
        {
            **KIND,
            "uri": matching(r"wss?://[^\s/]+\S*", "must be a ws or wss URI"),
            "content-type": one_of("audio/l16;rate=16000", "audio/l16;rate=8000"),
            "headers": an_object,
            "authorization": table({"type": one_of("vonage", "custom"), "value": text}, "type"),
        },
        "uri",
        "content-type",
    ),
    "sip": table(
        {
            **KIND,
            "uri": matching(r"sips?:\S+", "must be a sip or sips URI"),
            "user": text,
            "domain": text,
            "headers": an_object,
            "standardHeaders": an_object,
        }
    ),
    "vbc": table({**KIND, "extension": text}, "extension"),
}

ACTIONS: dict[str, dict[str, Check]] = {
    "record": {
        "format": one_of("mp3", "wav", "ogg"),
        "split": one_of("conversation"),
        "channels": whole(1, 32),
        "endOnSilence": whole(3, 10),
        "endOnKey": matching(r"[0-9*#]", "must be one of 0-9, * and #"),
        "timeOut": whole(3, 7200),
        "beepStart": boolean,
        **EVENTS,
        "transcription": TRANSCRIPTION,
    },
    "conversation": {
        "name": text,
        "musicOnHoldUrl": urls,
        "startOnEnter": boolean,
        "endOnExit": boolean,
        "record": boolean,
        **HEARING,
        "transcription": TRANSCRIPTION,
        **EVENTS,
    },
    "connect": {
        "endpoint": endpoint,
        "from": text,
        "randomFromNumber": boolean,
        "eventType": one_of("synchronous"),
        "timeout": whole(1, 120),
        "limit": whole(1, 7200),
        "machineDetection": one_of("continue", "hangup"),
        "advancedMachineDetection": table(
            {
                "behavior": one_of("continue", "hangup"),
                "mode": one_of("default", "detect", "detect_beep"),
                "beep_timeout": whole(45, 120),
            }
        ),
        **EVENTS,
        "ringbackTone": url,
    },
    "talk": {
        "text": text,
        "bargeIn": boolean,
        "loop": whole(0),
        "level": decimal(-1, 1),
        "language": text,
        "style": whole(0),
        "premium": boolean,
        "voiceName": text,
    },
    "stream": {"streamUrl": urls, "level": decimal(-1, 1), "bargeIn": boolean, "loop": whole(0)},
    "input": {
        "type": input_types,
        "dtmf": table({"timeOut": whole(0, 10), "maxDigits": whole(1, 20), "submitOnHash": boolean}),
        "speech": table(
            {
                "uuid": legs,
                "endOnSilence": decimal(0.4, 10),
                "language": text,
                "context": anything,
                "startTimeout": whole(1, 60),
                "maxDuration": whole(1, 60),
                "saveAudio": boolean,
                "sensitivity": whole(10, 100),
            }
        ),
        "mode": one_of("synchronous", "asynchronous"),
        **EVENTS,
    },
    "notify": {"payload": an_object, **EVENTS},
    "wait": {"timeout": decimal(-math.inf)},  # out of range is clamped, not refused
    "transfer": {"conversationId": text, "conversation_id": text, **HEARING},
}

REQUIRED: dict[str, tuple[str, ...]] = {
    "conversation": ("name",),
    "connect": ("endpoint",),
    "talk": ("text",),
    "stream": ("streamUrl",),
    "input": ("type",),
    "notify": ("payload", "eventUrl"),
}
