"""The life of a recording, oldest first: the call, the announcement, the attempts, the copies, and who listened."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import datetime

from recordings.access import Action
from recordings.catalogue.attempts import failed_attempts
from recordings.catalogue.copies import claim_times
from recordings.catalogue.listing import call_history, transcripts
from recordings.catalogue.search import RecordingRow
from recordings.masking import masked
from recordings.model import Copy, Recording, State

from .parts import Parts
from .wording import size

_MOST_ACTIONS = 100
_DONE = {
    Action.PLAY.value: "{} listened",
    Action.DOWNLOAD.value: "{} downloaded it",
    Action.EXPORT.value: "{} exported it",
    Action.RETRY.value: "{} had it tried again",
    Action.REPLAY.value: "{} replayed its event",
    Action.ADOPT.value: "{} adopted the address of another event",
}


@dataclass(frozen=True, slots=True)
class Moment:
    """Something that happened, and a detail of it."""

    at: datetime
    sentence: str
    detail: str = ""


def timeline(parts: Parts, row: RecordingRow, *, with_people: bool) -> list[Moment]:
    """What is known of the recording's life. Who heard it is told only `with_people`."""
    moments = [*_of_call(parts, row.recording), *_of_recording(row.recording), *_of_copies(parts, row)]
    if with_people:
        moments += _of_people(parts, row.id)
    return sorted(moments, key=lambda moment: moment.at)


def _of_call(parts: Parts, recording: Recording) -> Iterator[Moment]:
    history = call_history(parts.database, recording)
    legs = list(dict.fromkeys(note["leg_uuid"] for note in history if note["leg_uuid"]))
    for note in history:
        leg = f"leg {legs.index(note['leg_uuid']) + 1} of {len(legs)}" if note["leg_uuid"] and len(legs) > 1 else ""
        yield Moment(note["timestamp"] or note["received_at"], f"Call: {note['kind']}", leg)
    for note in transcripts(parts.database, recording):
        yield Moment(note["received_at"], f"Transcription: {note['status']}", note["error"] or "")


def _of_recording(recording: Recording) -> Iterator[Moment]:
    if recording.start_time:
        yield Moment(recording.start_time, "The recording began")
    if recording.end_time:
        yield Moment(recording.end_time, "The recording ended")
    yield Moment(recording.received_at, "Vonage announced the recording")


def _of_copies(parts: Parts, row: RecordingRow) -> Iterator[Moment]:
    """The attempts that failed, the one that runs, and the receipt of the storage."""
    failures = failed_attempts(parts.database, row.recording)
    for attempt in failures:
        sentence = f"Attempt {attempt.number} did not succeed, and left the copy {attempt.state.value}"
        yield Moment(attempt.at, sentence, f"{attempt.storage}: {attempt.error}")
    began = claim_times(parts.database, row.id)
    noted = {(attempt.storage, attempt.number) for attempt in failures}
    for copy in row.recording.copies:
        if copy.stored_at:
            yield Moment(copy.stored_at, "Stored", ", ".join([copy.storage, *_receipt(copy)]))
        elif copy.storage in began and copy.attempts and not _is_noted(copy, noted):
            yield _last_attempt(copy, began[copy.storage])


def _is_noted(copy: Copy, noted: Collection[tuple[str, int]]) -> bool:
    """Whether the last attempt is among those that failed. Where a copy was lost, its attempts are counted anew."""
    return copy.state is not State.FETCHING and (copy.storage, copy.attempts) in noted


def _receipt(copy: Copy) -> Iterator[str]:
    if copy.size is not None:
        yield size(copy.size)
    if copy.sha256:
        yield f"SHA-256 {copy.sha256}"


def _last_attempt(copy: Copy, began: datetime) -> Moment:
    """The attempt that runs, or one that failed before failed attempts were noted."""
    if copy.state is State.FETCHING:
        return Moment(began, f"Attempt {copy.attempts} began", copy.storage)
    error = f": {masked(copy.error)}" if copy.error else ""
    return Moment(began, f"Attempt {copy.attempts} did not succeed", f"{copy.storage}{error}")


def _of_people(parts: Parts, row_id: int) -> Iterator[Moment]:
    for entry in parts.people.audit.search(recording_id=row_id, limit=_MOST_ACTIONS).entries:
        sentence = _DONE.get(entry.action, f"{{}}: {entry.action}").format(entry.person)
        yield Moment(entry.at, sentence, f"from {entry.address}" if entry.address else "at the command line")
