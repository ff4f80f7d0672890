"""The call engine: asks for the NCCO, performs it, and tells what happened, in the order that Vonage does.

Here lives the course of a call. Nobody waits: a call of eight seconds is over at once, and its times say that it began
eight seconds ago. What is wrong with an NCCO is in `ncco`, how a webhook travels in `delivery`.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from . import events, ncco
from .delivery import ANSWER_TIMEOUT, Courier
from .events import Leg
from .options import is_true
from .results import Answer, CallResult, MadeRecording, Reply, SentEvent
from .shelf import ServedFile
from .signing import Clock
from .sounds import Sound, speech

SYNTAX_ERROR = "Syntax error in NCCO. Invalid value type or action."


@dataclass(frozen=True)
class Plan:
    """How to place a call: who calls whom, the application's URLs, and what is to go wrong.

    `method` is the application's `answer_method`; `event_url` its event URL, None for no call events; `params` are
    further fields for the answer request; `file_faults` befall each recording's file, `event_fault` each recording
    event; `empty` records nothing: URL "" and size 0; `answer_fault` spoils the token of the answer request.
    """

    caller: str = "447700900001"
    to: str = "447700900000"
    method: str = "GET"
    event_url: str | None = None
    fallback_url: str | None = None
    params: Mapping[str, Any] = field(default_factory=dict)
    file_faults: tuple[str, ...] = ()
    event_fault: str | None = None
    answer_fault: str | None = None
    empty: bool = False


@dataclass
class _Room:
    """A named conversation and who entered it with which action."""

    conversation_uuid: str
    entries: list[Mapping[str, Any]] = field(default_factory=list)

    def recorded(self) -> Mapping[str, Any] | None:
        """The action that records, once somebody who starts the conversation is in; else None.

        A moderated conversation is not recorded before its moderator joins. Whether two participants who both say
        `record` make two recordings is not documented: here they make one, of the first.
        https://developer.vonage.com/en/voice/voice-api/ncco-reference#conversation
        """
        started = any(is_true(entry.get("startOnEnter", True)) for entry in self.entries)
        return next((entry for entry in self.entries if is_true(entry.get("record"))), None) if started else None


AddFile = Callable[[Sound, tuple[str, ...]], ServedFile]


class CallInProgress:
    """One call from its first ring to its last event: `place` each leg, then `hang_up`."""

    def __init__(self, plan: Plan, courier: Courier, add_file: AddFile, clock: Clock) -> None:
        self.result = CallResult()
        self._plan, self._courier, self._add_file, self._clock = plan, courier, add_file, clock
        self._rooms: dict[str, _Room] = {}
        self._legs: list[Leg] = []
        self._running: list[tuple[Mapping[str, Any], str]] = []

    def place(self, answer_url: str) -> None:
        """An incoming call that this answer URL answers. A bad answer ends it, with an error event."""
        leg = self._join(events.inbound_leg(self._plan.caller, self._plan.to))
        self.result.conversation_uuids.append(leg.conversation_uuid)
        self._tell(events.call(leg, "started", self._clock()))
        self._tell(events.call(leg, "ringing", self._clock()))
        answer = self._ask(answer_url, leg)
        self.result.answers.append(answer)
        if answer.complaints:
            self._tell(events.error(leg, SYNTAX_ERROR, self._clock()))
            return
        self._tell(events.call(leg, "answered", self._clock()))
        for action in answer.ncco:
            self._perform(action, leg)

    def hang_up(self) -> CallResult:
        """All legs end; then the recordings that ran until now are announced, as in real traffic, a moment later."""
        start, end = self._span(speech().seconds)
        for leg in self._legs:
            self._tell(events.completed(leg, start, end))
        for action, conversation_uuid in self._running:
            self._record(action, conversation_uuid)
        for room in self._rooms.values():
            if (action_of_room := room.recorded()) is not None:
                self._record(action_of_room, room.conversation_uuid)
        return self.result

    # --- The NCCO ----------------------------------------------------------------------------------------------------

    def _ask(self, url: str, leg: Leg) -> Answer:
        asked = {**events.answer(leg), **self._plan.params}
        request = self._courier.sign(url, asked, method=self._plan.method, fault=self._plan.answer_fault)
        reply = self._courier.send(request, ANSWER_TIMEOUT)
        if self._plan.fallback_url and reply.status != 200:
            failure = {**asked, **events.fallback(reply.error or f"HTTP {reply.status}", url)}
            url = self._plan.fallback_url
            reply = self._courier.send(self._courier.sign(url, failure, method=self._plan.method), ANSWER_TIMEOUT)
        parsed, complaints = read_answer(reply)
        return Answer(url, leg.uuid, reply, parsed, tuple(complaints))

    def _perform(self, action: Mapping[str, Any], leg: Leg) -> None:
        performers = {"record": self._do_record, "connect": self._do_connect, "conversation": self._do_conversation}
        if (performer := performers.get(action["action"])) is not None:
            performer(action, leg)

    def _do_record(self, action: Mapping[str, Any], leg: Leg) -> None:
        if ncco.is_blocking(action):
            self._record(action, leg.conversation_uuid)
        else:
            self._running.append((action, leg.conversation_uuid))

    def _do_connect(self, action: Mapping[str, Any], leg: Leg) -> None:
        endpoint = action["endpoint"][0]
        to = next((str(endpoint[name]) for name in ("number", "user", "uri", "extension") if name in endpoint), "")
        callee = self._join(events.outbound_leg(str(action.get("from", leg.to)), to, leg.conversation_uuid))
        for status in ("started", "ringing", "answered"):
            self._tell(events.call(callee, status, self._clock()), action)

    def _do_conversation(self, action: Mapping[str, Any], leg: Leg) -> None:
        room = self._rooms.setdefault(action["name"], _Room(events.new_conversation()))
        self._tell(events.transfer(leg, room.conversation_uuid, self._clock()))
        leg.conversation_uuid = room.conversation_uuid
        self.result.conversation_uuids.append(room.conversation_uuid)
        room.entries.append(action)

    # --- What comes of it --------------------------------------------------------------------------------------------

    def _join(self, leg: Leg) -> Leg:
        self._legs.append(leg)
        return leg

    def _span(self, seconds: float) -> tuple[float, float]:
        end = self._clock()
        return end - seconds, end

    def _record(self, action: Mapping[str, Any], conversation_uuid: str) -> None:
        recording_uuid = str(uuid.uuid4())
        sound = sound_for(action, recording_uuid)
        file = None if self._plan.empty else self._add_file(sound, self._plan.file_faults)
        url, size = (file.url, file.size) if file else ("", 0)
        start, end = self._span(sound.seconds)
        payload = events.recording(recording_uuid, conversation_uuid, url, size, start, end, self._clock())
        event = self._announce(action, payload)
        self.result.recordings.append(MadeRecording(recording_uuid, conversation_uuid, action, file, event))

    def _announce(self, action: Mapping[str, Any], payload: Mapping[str, Any]) -> SentEvent | None:
        """To the action's own eventUrl, else to the application's; None when there is neither: it is lost."""
        url, method = self._target(action)
        if url is None:
            return None
        return self._courier.send_event(url, payload, method=method, fault=self._plan.event_fault)

    def _tell(self, payload: Mapping[str, Any], action: Mapping[str, Any] | None = None) -> None:
        url, method = self._target(action or {})
        if url is not None:
            self.result.events.append(self._courier.send_event(url, payload, method=method))

    def _target(self, action: Mapping[str, Any]) -> tuple[str | None, str]:
        if "eventUrl" in action:
            return action["eventUrl"][0], action.get("eventMethod", "POST")
        return self._plan.event_url, "POST"


def read_answer(reply: Reply) -> tuple[Any, list[str]]:
    """The NCCO in a reply and what is wrong with either."""
    if reply.status != 200:
        return None, [f"The answer URL must answer 200, not {reply.error or reply.status}."]
    media_type = reply.content_type.partition(";")[0].strip().lower()
    wrong_type = [] if media_type == "application/json" else [f"The answer must be application/json, not {media_type}."]
    try:
        parsed = json.loads(reply.body)
    except ValueError as error:
        return None, [*wrong_type, f"The answer is not JSON: {error}."]
    return parsed, [*wrong_type, *ncco.check(parsed)]


def sound_for(action: Mapping[str, Any], label: str) -> Sound:
    """The audio that a recording action asks for; conversations and plain records are one mono MP3.

    The format defaults to MP3, to WAV with more than two channels.
    https://developer.vonage.com/en/voice/voice-api/ncco-reference#record
    """
    channels = int(action.get("channels", 1)) if action.get("split") == "conversation" else 1
    return speech(action.get("format", "wav" if channels > 2 else "mp3"), channels, label)
