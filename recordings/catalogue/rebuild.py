"""Writes recordings that are known from their sidecars: their rows, their stored copy, and what is known of their call.

What the catalogue knows already stands. Where the sidecars come from, and whether they can be believed, is decided in
`recordings.care.rebuild`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, and_, func, not_, select, update
from sqlalchemy.sql.dml import ReturningInsert

from recordings.clock import utc_now
from recordings.model import Recording, State, conversation_key

from .call_notes import upsert_call
from .database import Database
from .derived import follow_calls, follow_copies
from .leases import StoredAudio
from .tables import calls, copies, recordings

# The columns of a copy that change when it becomes stored.
_OF_STORED = ("state", "token", "due_at", "error", "key", "size", "sha256", "content_type", "uri", "stored_at")


@dataclass(frozen=True, slots=True)
class ArchivedRecording:
    """A recording whose audio lies in `storage`."""

    recording: Recording
    storage: str
    audio: StoredAudio
    stored_at: datetime


def bring_in(
    database: Database, archived: Sequence[ArchivedRecording], *, clock: Callable[[], datetime] = utc_now
) -> list[str]:
    """Write all of them in one transaction; what became of each.

    `new`: the catalogue did not know the recording. `completed`: it knew the recording, and its copy is stored now.
    `stored`: this copy was stored already. `elsewhere`: the copy is stored under another key. `busy`: a worker holds
    the copy.
    """
    if not archived:
        return []
    with database.write() as connection:
        writer = _Writer(database, connection, clock())
        outcomes = [writer.bring_in(item) for item in archived]
        follow_copies(connection, writer.copy_ids)
        follow_calls(connection, writer.call_keys)
    return outcomes


class _Writer:
    """Writes within one transaction. `copy_ids` and `call_keys` are what the recordings must follow afterwards."""

    def __init__(self, database: Database, connection: Connection, now: datetime) -> None:
        self._database = database
        self._connection = connection
        self.copy_ids: list[int] = []
        self.call_keys: set[str] = set()
        # Made once: making a statement costs more than running it.
        self._new_recording = database.insert(recordings).on_conflict_do_nothing().returning(recordings.c.id)
        self._stored_copy = self._storing(now)

    def bring_in(self, archived: ArchivedRecording) -> str:
        recording_id, new = self._recording(archived.recording)
        copy_id = self._copy(recording_id, archived)
        if copy_id is None:
            return self._why_not(recording_id, archived)
        self.copy_ids.append(copy_id)
        self._note_call(archived.recording)
        return "new" if new else "completed"

    def _recording(self, recording: Recording) -> tuple[int, bool]:
        """The recording's row, and whether it is new. A row without audio gets what belongs to the audio."""
        row = _row(recording)
        new_id = self._connection.execute(self._new_recording, row).scalar()
        if new_id is not None:
            return new_id, True
        same = and_(*(recordings.c[name] == row[name] for name in ("application_id", "recording_uuid")))
        changes = {name: row[name] for name in ("recording_url", "size", "start_time", "end_time", "empty")}
        self._connection.execute(update(recordings).where(same, recordings.c.empty).values(changes))
        return self._connection.execute(select(recordings.c.id).where(same)).scalar_one(), False

    def _storing(self, now: datetime) -> ReturningInsert[Any]:
        """Inserts a copy that is stored, or makes it stored, unless it is, or a worker holds it: then no row comes."""
        statement = self._database.insert(copies)
        held = and_(copies.c.state == State.FETCHING.value, copies.c.due_at > now)
        return statement.on_conflict_do_update(
            index_elements=["recording_id", "storage"],
            set_={name: statement.excluded[name] for name in _OF_STORED},
            where=and_(copies.c.state != State.STORED.value, not_(held)),
        ).returning(copies.c.id)

    def _copy(self, recording_id: int, archived: ArchivedRecording) -> int | None:
        """The copy's row, which is stored now; None: it was stored before, or a worker holds it."""
        row = dict.fromkeys(_OF_STORED) | asdict(archived.audio) | {"state": State.STORED.value, "attempts": 0}
        row |= {"recording_id": recording_id, "storage": archived.storage, "stored_at": archived.stored_at}
        return self._connection.execute(self._stored_copy, row).scalar()

    def _why_not(self, recording_id: int, archived: ArchivedRecording) -> str:
        its_copy = copies.c.recording_id == recording_id, copies.c.storage == archived.storage
        copy = self._connection.execute(select(*copies.c["state", "key"]).where(*its_copy)).one()
        if copy.state != State.STORED.value:
            return "busy"
        return "stored" if copy.key == archived.audio.key else "elsewhere"

    def _note_call(self, recording: Recording) -> None:
        """Write down what the sidecar knows of the call; a call that is known keeps what it has."""
        own = conversation_key(recording.conversation_uuid)
        values = _call_values(recording)
        if recording.call is not None and any(value is not None for value in values.values()):
            gaps = {name: func.coalesce(calls.c[name], value) for name, value in values.items() if value is not None}
            place = self._database, self._connection, recording.application_id, recording.call.conversation_uuid
            self.call_keys |= upsert_call(*place, values, gaps)
        self.call_keys |= {own} - {""}


def _row(recording: Recording) -> dict[str, Any]:
    ids = ("application_id", "recording_uuid", "conversation_uuid", "recording_url")
    facts = ("size", "start_time", "end_time", "timestamp", "received_at", "origin", "flow", "format", "channels")
    row = {name: getattr(recording, name) for name in (*ids, *facts)}
    own = conversation_key(recording.conversation_uuid)
    return row | {"conversation_key": own, "empty": False, "state": State.STORED.value}


def _call_values(recording: Recording) -> dict[str, Any]:
    """The columns of the call's row; None where the sidecar does not know it."""
    call = recording.call
    if call is None:
        return {}
    own, its = conversation_key(recording.conversation_uuid), conversation_key(call.conversation_uuid)
    return {
        "joined_key": own if own and own != its else None,
        "leg_uuid": call.leg_uuid,
        "from_number": recording.from_,
        "to_number": recording.to,
        "direction": recording.direction,
        "flow": recording.flow,
        "region_url": recording.region_url,
        "answered_at": call.answered_at,
        "completed_at": call.completed_at,
    }
