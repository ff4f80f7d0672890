"""What a simulated call leaves behind: plain records, nothing that acts.

Times are Unix seconds of the simulator's clock.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .shelf import ServedFile


@dataclass(frozen=True)
class Reply:
    """How one webhook request went, after the retry if there was one.

    `status` is None when no reply came; `error` then says why. `attempts` is 1 or 2.
    """

    status: int | None
    error: str | None
    sent_at: float
    replied_at: float
    attempts: int = 1
    content_type: str = ""
    body: bytes = field(default=b"", repr=False)

    @property
    def accepted(self) -> bool:
        """Vonage takes 200 to 205 as success."""
        return self.status is not None and 200 <= self.status <= 205

    @property
    def seconds(self) -> float:
        return self.replied_at - self.sent_at


@dataclass(frozen=True)
class SentEvent:
    """A webhook that was sent: where to, what, and each reply (several when it was sent several times)."""

    url: str
    payload: Mapping[str, Any]
    replies: tuple[Reply, ...]

    @property
    def accepted(self) -> bool:
        return bool(self.replies) and all(reply.accepted for reply in self.replies)


@dataclass(frozen=True)
class Answer:
    """What an answer URL told one leg. `ncco` is None when it was not JSON; `complaints` is empty when all is well."""

    url: str
    uuid: str
    reply: Reply
    ncco: Any
    complaints: tuple[str, ...]


@dataclass(frozen=True)
class MadeRecording:
    """One recording of a call. `file` is what the file host serves; None for an empty recording."""

    recording_uuid: str
    conversation_uuid: str
    action: Mapping[str, Any]
    file: ServedFile | None
    event: SentEvent | None

    @property
    def file_id(self) -> str:
        return self.file.id if self.file else ""

    @property
    def url(self) -> str:
        return self.file.url if self.file else ""

    @property
    def size(self) -> int:
        return self.file.size if self.file else 0

    @property
    def sha256(self) -> str:
        return self.file.sha256 if self.file else ""

    @property
    def format(self) -> str:
        return self.file.format if self.file else ""

    @property
    def channels(self) -> int:
        return self.file.channels if self.file else 0

    @property
    def replies(self) -> tuple[Reply, ...]:
        return self.event.replies if self.event else ()


@dataclass
class CallResult:
    """Everything about one call of one leg or more. `answers` has one entry a leg, in the order of the legs."""

    answers: list[Answer] = field(default_factory=list)
    events: list[SentEvent] = field(default_factory=list)
    recordings: list[MadeRecording] = field(default_factory=list)
    conversation_uuids: list[str] = field(default_factory=list)

    @property
    def complaints(self) -> list[str]:
        """What was wrong with any answer."""
        return [complaint for answer in self.answers for complaint in answer.complaints]

    @property
    def ncco(self) -> Any:
        """The first leg's NCCO."""
        return self.answers[0].ncco if self.answers else None

    @property
    def ok(self) -> bool:
        """Every answer was usable, every event accepted, and something was recorded and announced."""
        announced = all(recording.event and recording.event.accepted for recording in self.recordings)
        accepted = all(event.accepted for event in self.events)
        return not self.complaints and accepted and announced and bool(self.recordings)
