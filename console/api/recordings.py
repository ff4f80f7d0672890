"""`/api/recordings`: the list, a search, one recording, and the order to try again. Its audio is in `audio`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from marshmallow import Schema, fields

from console.access import current_actor
from console.lookups import recording_in
from console.parts import Parts
from recordings.access import Action, Role
from recordings.catalogue.as_json import as_json_object, plain
from recordings.catalogue.attempts import failed_attempts
from recordings.catalogue.listing import call_history, transcripts
from recordings.catalogue.search import RecordingRow, search
from recordings.clock import iso_utc
from recordings.model import COPY_STATES, State

from .fields import flag, moment, number, row, rows, text, whole
from .filters import RecordingQuery, RecordingSearch, filter_from
from .operations import Resource, needs, with_etag

_ROW = row("recording_id")


class CopyAnswer(Schema):
    """One recording in one storage."""

    storage = text("The address of the storage.")
    key = text("The object there.", none=True)
    state = text("Its state.", enum=[state.value for state in COPY_STATES])
    size = whole("Bytes, as the storage confirmed them.", none=True)
    sha256 = text("Of the audio.", none=True)
    content_type = text("Of the audio.", none=True)
    attempts = whole("How often it was tried.")
    error = text("What went wrong last.", none=True)
    stored_at = moment("When the storage confirmed it.", none=True)
    next_attempt_at = moment("When it is tried again.", none=True)


_NAMED: dict[str, fields.Field[Any]] = {
    "id": whole("The number that the addresses of this API hold."),
    "recording_uuid": text("Vonage's id."),
    "conversation_uuid": text("Vonage's id of the call."),
    "application_id": text("The Vonage application."),
    "state": text("The state of the worst copy.", enum=[state.value for state in State]),
    "received_at": moment("When Vonage announced it."),
    "start_time": moment("When it began.", none=True),
    "end_time": moment("When it ended.", none=True),
    "size": whole("Bytes, as Vonage announced them.", none=True),
    "seconds": number("Measured from the audio.", none=True),
    "measured_channels": whole("Measured from the audio.", none=True),
    "channels": whole("As the call was told to record.", none=True),
    "format": text("As the call was told to record.", none=True),
    "flow": text("The call flow.", none=True),
    "origin": text("Which kind of event announced it."),
    "direction": text("Of the call.", none=True),
    "from": text("The caller's number.", none=True),
    "to": text("The number called.", none=True),
    "copies": rows(CopyAnswer),
}
RecordingAnswer: Any = Schema.from_dict(_NAMED, name="Recording")


class CallEventAnswer(Schema):
    """Something that happened in the call."""

    kind = text("Such as `answered`, `completed`.")
    leg_uuid = text("Vonage's id of the leg.", none=True)
    timestamp = moment("When it happened.", none=True)
    received_at = moment("When Vonage told it.")


class TranscriptionAnswer(Schema):
    """What Vonage told of a transcription."""

    status = text("Such as `transcribed`.")
    error = text("Why there is none.", none=True)
    received_at = moment("When Vonage told it.")


class FailedAttemptAnswer(Schema):
    """An attempt at a copy that did not succeed. The newest 50 of each copy are kept."""

    storage = text("Of the copy.")
    number = whole("Which attempt it was.")
    at = moment("When it ended.")
    state = text("What it led to.", enum=[State.WAITING.value, State.BLOCKED.value, State.FAILED.value])
    error = text("What went wrong.")


OneRecordingAnswer: Any = Schema.from_dict(
    _NAMED
    | {
        "failed_attempts": rows(FailedAttemptAnswer),
        "call_events": rows(CallEventAnswer),
        "transcriptions": rows(TranscriptionAnswer),
    },
    name="OneRecording",
)


class RecordingPage(Schema):
    """Some recordings, the newest first.

    Where few match, a page looks only so far back that it is quick: it may be empty although `next_cursor` is there.
    """

    recordings = fields.List(fields.Nested(RecordingAnswer), required=True)
    next_cursor = text("Gives the next page; null: nothing is left.", none=True)
    count = whole("How many the filter chooses.")
    count_capped = flag("Whether there may be more than `count`.")
    searched_to = moment("Everything since then was looked at; null: the page is full, or all was.", none=True)


class RetryAnswer(Schema):
    """What became of the order to try again."""

    copies_due = whole("The copies that are due now; 0: each is stored or being fetched.")


def create_resource(parts: Parts) -> Resource:
    """The operations."""
    resource = Resource("Recordings", "Find recordings, and have one tried again.")

    @resource.route("/recordings")
    @with_etag
    @needs(Role.VIEWER)
    @resource.arguments(RecordingQuery, location="query")
    @resource.response(200, RecordingPage)
    def list_recordings(query: Mapping[str, Any]) -> Mapping[str, Any]:
        """The recordings that a filter chooses, newest first"""
        return _page(parts, query)

    @resource.route("/recordings/search", methods=["POST"])
    @needs(Role.VIEWER)
    @resource.arguments(RecordingSearch)
    @resource.response(200, RecordingPage)
    def search_recordings(body: Mapping[str, Any]) -> Mapping[str, Any]:
        """The same, also by telephone number, which must not stand in an address"""
        return _page(parts, body)

    @resource.route(f"/recordings/{_ROW}")
    @with_etag
    @needs(Role.VIEWER)
    @resource.response(200, OneRecordingAnswer)
    def get_recording(recording_id: int) -> Mapping[str, Any]:
        """One recording, with the attempts that failed and the events of its call"""
        return _whole(parts, recording_in(parts, recording_id))

    @resource.route(f"/recordings/{_ROW}/retry", methods=["POST"])
    @needs(Role.OPERATOR)
    @resource.response(200, RetryAnswer)
    def retry_recording(recording_id: int) -> Mapping[str, Any]:
        """Try every copy that is not stored again, now"""
        recording_row = recording_in(parts, recording_id)
        parts.people.audit.note(current_actor(), Action.RETRY, recording_id=recording_id)
        return {"copies_due": len(parts.schedule.retry(recording_row.recording.recording_uuid))}

    return resource


def as_answer(recording_row: RecordingRow) -> dict[str, Any]:
    """A recording as the API shows it."""
    measured = {"id": recording_row.id, "seconds": recording_row.seconds, "measured_channels": recording_row.channels}
    return as_json_object(recording_row.recording) | measured


def _whole(parts: Parts, recording_row: RecordingRow) -> Mapping[str, Any]:
    attempts = failed_attempts(parts.database, recording_row.recording)
    return as_answer(recording_row) | {
        "failed_attempts": [attempt.as_json_object() for attempt in attempts],
        "call_events": [plain(event) for event in call_history(parts.database, recording_row.recording)],
        "transcriptions": [plain(event) for event in transcripts(parts.database, recording_row.recording)],
    }


def _page(parts: Parts, given: Mapping[str, Any]) -> Mapping[str, Any]:
    secret = parts.people.key("api")
    filter, cursor = filter_from(given), given.get("cursor")
    page = search(parts.database, filter, cursor=cursor, limit=given["limit"], secret=secret)
    return {
        "recordings": [as_answer(recording_row) for recording_row in page.rows],
        "next_cursor": page.next_cursor,
        "count": page.count,
        "count_capped": page.count_capped,
        "searched_to": iso_utc(page.searched_to) if page.searched_to else None,
    }
