"""The one place at which a command writes down who did what: who hears, exports, retries, replays or adopts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from commands.acting import acting

if TYPE_CHECKING:
    from recordings.catalogue.database import Database


def note_access(database: Database, action: str, *, recording_id: int | None = None, detail: str = "") -> None:
    """Write down what the person at this shell does, before it is done: before the first byte is handed out.

    `action` is one of the audit's, such as `play`; `recording_id` is the row of the recording, None for a whole list.
    The detail holds no telephone number.
    """
    from recordings.access import Action
    from recordings.catalogue.audit import Audit

    Audit(database).note(acting(), Action(action), recording_id=recording_id, detail=detail)
