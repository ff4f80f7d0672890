"""A strict reader of NCCOs: everything that would make Vonage drop a call, or lose a recording, as plain sentences.

Here lives the walk over the actions and the rules between them; what one option may hold is in `options`. Pure: no
network, no clock. https://developer.vonage.com/en/voice/voice-api/ncco-reference
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from .options import ACTIONS, REQUIRED, complaints_about, is_true

# Any of these makes a `record` blocking. https://developer.vonage.com/en/voice/voice-api/ncco-reference#record
STOP_CONDITIONS = ("endOnSilence", "endOnKey", "timeOut")
# What keeps a call up while an asynchronous record runs: when all actions are complete the call ends.
KEEPS_THE_CALL_UP = {"connect", "conversation", "stream", "talk", "input", "wait"}
TALK_LIMIT = 1500


def check(ncco: Any, *, native_only: bool = False) -> list[str]:
    """What is wrong with an NCCO; an empty list when nothing is.

    `ncco` is the parsed JSON. Each complaint names the action by its index from 0 and the option. Numbers and booleans
    written as strings pass, as they do with Vonage, unless `native_only`.
    """
    if not isinstance(ncco, list):
        return [f"The NCCO must be an array of actions, not {_kind(ncco)}."]
    if not ncco:
        return ["The NCCO holds no action: the call would end at once."]
    return [complaint for index in range(len(ncco)) for complaint in _check_action(ncco, index, native_only)]


def is_blocking(record: Mapping[str, Any]) -> bool:
    """Whether a `record` action ends by itself, before the call does."""
    return any(option in record for option in STOP_CONDITIONS)


def _check_action(ncco: Sequence[Any], index: int, native_only: bool) -> Iterator[str]:
    action = ncco[index]
    if not isinstance(action, dict):
        yield f"Action {index} must be an object, not {_kind(action)}."
        return
    name = action.get("action")
    if not isinstance(name, str) or name not in ACTIONS:
        yield f"Action {index}: {name!r} is no action; known are {', '.join(ACTIONS)}."
        return
    title = f"Action {index} ({name})"
    rules = (_check_options(action, name, native_only), _RULES.get(name, _no_rule)(action, ncco[index + 1 :]))
    for complaints in rules:
        yield from (f"{title}: {complaint}" for complaint in complaints)


def _check_options(action: Mapping[str, Any], name: str, native_only: bool) -> Iterator[str]:
    for option in REQUIRED.get(name, ()):
        if option not in action:
            yield f"option {option} is missing."
    options = {option: value for option, value in action.items() if option != "action"}
    yield from complaints_about(options, ACTIONS[name], native_only)


# --- Rules between options and between actions -----------------------------------------------------------------------


def _no_rule(_: Mapping[str, Any], __: Sequence[Any]) -> Iterator[str]:
    yield from ()


def _record(action: Mapping[str, Any], later: Sequence[Any]) -> Iterator[str]:
    if "channels" in action and "split" not in action:
        yield "option channels does nothing without split; add split 'conversation'."
    if "split" in action and "channels" not in action:
        yield "option split needs channels; say how many, 2 for one party a channel."
    if not is_blocking(action) and not any(_name(other) in KEEPS_THE_CALL_UP for other in later):
        yield (
            "this record is asynchronous and nothing after it keeps the call up, so it records nothing; "
            "add endOnSilence, endOnKey or timeOut, or an action such as connect after it."
        )


def _conversation(action: Mapping[str, Any], _: Sequence[Any]) -> Iterator[str]:
    if "transcription" in action and not is_true(action.get("record")):
        yield "option transcription needs record true."
    if "canSpeak" in action and is_true(action.get("mute")):
        yield "option mute cannot be used with canSpeak."


def _connect(action: Mapping[str, Any], _: Sequence[Any]) -> Iterator[str]:
    if "from" in action and is_true(action.get("randomFromNumber")):
        yield "option randomFromNumber cannot be used with from."
    endpoint = action.get("endpoint")
    first = endpoint[0] if isinstance(endpoint, list) and endpoint else None
    to_phone = isinstance(first, dict) and first.get("type") == "phone"
    caller = action.get("from")
    if to_phone and isinstance(caller, str) and not re.fullmatch(r"\+?[0-9]{1,15}", caller):
        yield f"option from must be a number in E.164 form for a phone endpoint, not {caller!r}."


def _talk(action: Mapping[str, Any], later: Sequence[Any]) -> Iterator[str]:
    text = action.get("text")
    if isinstance(text, str):
        spoken = re.sub(r"<[^>]*>", "", text)
        if len(spoken) > TALK_LIMIT:
            yield f"option text has {len(spoken)} characters without its tags; at most {TALK_LIMIT} are spoken."
        if not spoken.strip():
            yield "option text says nothing."
    following = next((_name(other) for other in later if _name(other) != "talk"), None)
    if is_true(action.get("bargeIn")) and following != "input":
        yield "option bargeIn is true, so the next action that is not talk must be input."


def _transfer(action: Mapping[str, Any], _: Sequence[Any]) -> Iterator[str]:
    # The table of the reference says conversation_id, its example and the SDKs conversationId.
    if "conversationId" not in action and "conversation_id" not in action:
        yield "option conversationId is missing."


_RULES = {"record": _record, "conversation": _conversation, "connect": _connect, "talk": _talk, "transfer": _transfer}


def _name(action: Any) -> Any:
    return action.get("action") if isinstance(action, dict) else None


def _kind(value: Any) -> str:
    names = {dict: "an object", list: "an array", str: "a string", bool: "a boolean", type(None): "null"}
    return names.get(type(value), "a number")
