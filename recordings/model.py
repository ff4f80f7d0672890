"""What a recording is, the states it passes through, what the webhooks hand over, and what plugins are shown.

Plain values and protocols only: nothing here reads a database, a socket or the environment.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType
from typing import Any


class State(StrEnum):
    """The states of one copy; a recording shows the worst of its copies' states, or `empty`."""

    PENDING = "pending"
    FETCHING = "fetching"
    WAITING = "waiting"
    BLOCKED = "blocked"
    FAILED = "failed"
    STORED = "stored"
    EMPTY = "empty"


COPY_STATES = tuple(state for state in State if state is not State.EMPTY)  # a recording without audio has no copies

# From worst to best: the order in which copies speak for their recording.
WORST_FIRST = (State.FAILED, State.BLOCKED, State.WAITING, State.FETCHING, State.PENDING, State.STORED)


def worst(states: list[State]) -> State:
    """The state that a recording with copies in these states shows; no copies at all means `empty`."""
    return next((state for state in WORST_FIRST if state in states), State.EMPTY)


def conversation_key(conversation_uuid: str) -> str:
    """The form of a conversation id that joins events: lower case, without `CON-`.

    Live traffic carries `CON-<uuid>`, the webhook reference a bare uuid.
    https://developer.vonage.com/en/voice/voice-api/webhook-reference#record
    """
    return conversation_uuid.strip().lower().removeprefix("con-")


# --- What the webhooks hand to the catalogue -------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Delivery:
    """One webhook request: what was sent, and what its signature proved.

    Until the signature is verified, `application_id` is empty and `signed` is False. After that, `application_id` is
    the one that the signature names, or the configured one, and `jti` is the id of the signature's token.
    `authorization` is the request's header of that name: a secret, which is stored only with a refused delivery.
    """

    route: str
    method: str
    query: str
    content_type: str
    body: bytes
    application_id: str = ""
    signed: bool = False
    jti: str | None = None
    authorization: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Announcement:
    """A recording event, understood. `size` in bytes as announced; `origin` is `voice`, `rtc` or `asr`.

    `conversation_uuid` is empty where the event named none: it only tells which call the recording belongs to.
    `flow`, `format` and `channels` are what our own eventUrl told, None where it told nothing.
    """

    recording_uuid: str
    conversation_uuid: str
    recording_url: str
    size: int | None
    start_time: datetime | None
    end_time: datetime | None
    timestamp: datetime | None
    origin: str = "voice"
    flow: str | None = None
    format: str | None = None
    channels: int | None = None

    @property
    def empty(self) -> bool:
        """Nothing was recorded: no URL, or no bytes. https://github.com/Vonage/vonage-node-sdk/issues/132"""
        return not self.recording_url or self.size == 0


@dataclass(frozen=True, slots=True)
class CallEvent:
    """A call event, understood. `kind` is its status, or `transfer`, `input`, `notify`, `error`, `unknown`.

    A transfer names two conversations: it belongs to both.
    """

    kind: str
    conversation_uuids: tuple[str, ...]
    leg_uuid: str | None = None
    from_: str | None = None
    to: str | None = None
    direction: str | None = None
    timestamp: datetime | None = None


@dataclass(frozen=True, slots=True)
class Transcription:
    """A transcription event, understood; `url` is None when it failed."""

    recording_uuid: str
    conversation_uuid: str | None
    status: str
    url: str | None
    error: str | None = None


Event = Announcement | CallEvent | Transcription


@dataclass(frozen=True, slots=True)
class Accepted:
    """What became of a delivery, once it was committed.

    `outcome` is `new` (the recording was not known before), `repeat`, `conflict` (the recording is known with another
    URL or conversation; the first announcement stands), or `noted` (the delivery announces no recording).
    `copy_ids` are the rows of the new copies, which are due now.
    """

    outcome: str
    copy_ids: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Call:
    """A call that asks what to do: the answer webhook's words, and what we are about to tell it.

    Plugins get it in `answer_call`. `params` holds every field of the request, unknown ones too; `call["from"]` works
    for the word that Python keeps for itself (`from_` here). `records`: whether the NCCO that it gets records.
    """

    conversation_uuid: str | None
    uuid: str | None
    from_: str | None
    to: str | None
    flow: str
    region_url: str | None = None
    endpoint_type: str | None = None
    from_user: str | None = None
    format: str | None = None
    channels: int | None = None
    records: bool = False
    params: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))

    def __getitem__(self, name: str) -> Any:
        return self.params[name]


# --- What the catalogue tells ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Copy:
    """One recording in one storage. Names and meanings are those of `flask recordings list --json`."""

    storage: str
    key: str | None
    state: State
    size: int | None
    sha256: str | None
    content_type: str | None
    attempts: int
    error: str | None
    stored_at: datetime | None
    next_attempt_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class CallBehind:
    """The call of which a recording was made, as far as the answer webhook and the call events told of it.

    Its conversation is another one than the recording's where its leg was moved, as in a named conversation.
    """

    conversation_uuid: str
    leg_uuid: str | None = None
    answered_at: datetime | None = None
    completed_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Recording:
    """A recording as the catalogue knows it: the event's words, the call's words where known, and its copies.

    `size` is the announced one, in bytes; the verified one stands in each copy. `from_`, `to`, `direction` and
    `region_url` come from the call and may be None, as may `flow`, `format` and `channels`. `conversation_uuid` is
    empty where the event named none. `timestamp` is the event's own; `call` is None where nothing is known of the call.
    """

    application_id: str
    recording_uuid: str
    conversation_uuid: str
    recording_url: str
    state: State
    size: int | None
    start_time: datetime | None
    end_time: datetime | None
    received_at: datetime
    origin: str = "voice"
    flow: str | None = None
    format: str | None = None
    channels: int | None = None
    from_: str | None = None
    to: str | None = None
    direction: str | None = None
    region_url: str | None = None
    copies: tuple[Copy, ...] = ()
    timestamp: datetime | None = None
    call: CallBehind | None = None


@dataclass(frozen=True, slots=True)
class Waveform:
    """What was measured from a recording's audio itself: its length, its channels, and how loud it is over time.

    `peaks` holds `points` bytes a channel, one channel after the other: the loudest sample of each stretch, from 0 to
    127. All stretches are equally long.
    """

    seconds: float
    channels: int
    sample_rate: int
    points: int
    peaks: bytes = field(repr=False)
