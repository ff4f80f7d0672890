"""The life of a recording, oldest first: the call, the announcement, the copies, and who listened."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from recordings.access import Action
from recordings.catalogue.listing import call_history, transcripts
from recordings.catalogue.search import Found
from recordings.model import Recording

from .parts import Parts

_MOST_ACTIONS = 100
_DONE = {
    Action.PLAY.value: "{} listened",
    Action.DOWNLOAD.value: "{} downloaded it",
    Action.EXPORT.value: "{} exported it",
    Action.RETRY.value: "{} had it tried again",
}


@dataclass(frozen=True, slots=True)
class Moment:
    """Something that happened, and a detail of it."""

    at: datetime
    sentence: str
    detail: str = ""


def timeline(parts: Parts, found: Found, *, with_people: bool) -> list[Moment]:
    """What is known of the recording's life. Who heard it is told only `with_people`."""
    moments = [*_of_call(parts, found.recording), *_of_recording(found.recording)]
    if with_people:
        moments += _of_people(parts, found.id)
    return sorted(moments, key=lambda moment: moment.at)


def _of_call(parts: Parts, recording: Recording) -> Iterator[Moment]:
    for row in call_history(parts.database, recording):
        yield Moment(row["timestamp"] or row["received_at"], f"Call: {row['kind']}")
    for row in transcripts(parts.database, recording):
        yield Moment(row["received_at"], f"Transcription: {row['status']}", row["error"] or "")


def _of_recording(recording: Recording) -> Iterator[Moment]:
    if recording.start_time:
        yield Moment(recording.start_time, "The recording began")
    if recording.end_time:
        yield Moment(recording.end_time, "The recording ended")
    yield Moment(recording.received_at, "Vonage announced the recording")
    for copy in recording.copies:
        if copy.stored_at:
            yield Moment(copy.stored_at, "Stored", copy.storage)


def _of_people(parts: Parts, row_id: int) -> Iterator[Moment]:
    for entry in parts.people.audit.search(recording_id=row_id, limit=_MOST_ACTIONS).entries:
        sentence = _DONE.get(entry.action, f"{{}}: {entry.action}").format(entry.person)
        yield Moment(entry.at, sentence, f"from {entry.address}" if entry.address else "at the command line")
