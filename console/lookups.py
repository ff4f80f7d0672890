"""What pages and API do alike with one recording or one delivery: find it, and note who did something with it."""

from __future__ import annotations

from flask import abort, request

from recordings.access import Action
from recordings.catalogue.inbox import NoSuchDelivery, StoredDelivery
from recordings.catalogue.search import RecordingRow, by_row
from recordings.catalogue.waveforms import measured
from recordings.model import Waveform

from .access import current_actor
from .access.door import is_api
from .parts import Parts


def recording_in(parts: Parts, row_id: int) -> RecordingRow:
    """The recording in this row. Where there is none it is a 404."""
    recording = by_row(parts.database, row_id)
    if recording is None:
        abort(404, f"There is no recording {row_id} here. {_all('recordings')}")
    return recording


def recording_to_hear(parts: Parts, row_id: int, action: Action) -> RecordingRow:
    """The recording in this row, once the audit holds who plays or downloads it. What cannot be noted is not heard."""
    recording = recording_in(parts, row_id)
    if request.method != "HEAD":  # which brings no audio
        parts.people.audit.note(current_actor(), action, recording_id=row_id)
    return recording


def waveform_in(parts: Parts, row_id: int) -> Waveform:
    """The waveform of the recording in this row. Where there is none it is a 404."""
    waveform = measured(parts.database, row_id).waveform
    if waveform is None:
        abort(404, "There is no waveform of this recording, or none yet: a worker makes it after archiving.")
    return waveform


def delivery_in(parts: Parts, row_id: int) -> StoredDelivery:
    """The delivery in this row. Where there is none it is a 404."""
    try:
        return parts.inbox.find(row_id)
    except NoSuchDelivery:
        abort(404, f"There is no delivery {row_id}, or it is not kept any more. {_all('deliveries')}")


def note_order(parts: Parts, stored: StoredDelivery, action: Action) -> None:
    """Note in the audit that somebody orders this for a delivery."""
    detail = f"delivery {stored.id}, {stored.outcome}"
    parts.people.audit.note(current_actor(), action, recording_id=stored.recording_id, detail=detail)


def _all(name: str) -> str:
    """Where a program, or a person, sees all of them."""
    return f"See all with: GET /api/{name}" if is_api(request.path) else f"Look for it in the list of {name}."
