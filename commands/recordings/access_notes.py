"""The one place at which a command says that somebody gets to hear a recording or to see many of them."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from recordings.catalogue.database import Database

log = logging.getLogger(__name__)


def note_access(database: Database, action: str, *, recording_id: int | None = None, detail: str = "") -> None:
    """Write down that the person at this shell plays, downloads or exports: before the first byte is handed out.

    `action` is `play`, `download` or `export`; `recording_id` is the row of the recording, None for a whole list. The
    detail holds no number: it also goes to the log.
    """
    log.info("%s of %s by a command. %s", action, "a list" if recording_id is None else f"row {recording_id}", detail)
