"""The one place at which a command says that somebody gets to hear a recording or to see many of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from commands.acting import acting

if TYPE_CHECKING:
    from recordings.catalogue.database import Database


def note_access(database: Database, action: str, *, recording_id: int | None = None, detail: str = "") -> None:
    """Write down that the person at this shell plays, downloads or exports: before the first byte is handed out.

    `action` is `play`, `download` or `export`; `recording_id` is the row of the recording, None for a whole list. The
    detail holds no number.
    """
    from recordings.access import Action
    from recordings.catalogue.audit import Audit

    Audit(database).note(acting(), Action(action), recording_id=recording_id, detail=detail)
