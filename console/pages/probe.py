"""Whether the audio of a recording is there now: a quick look into its storages, which may be down, or hang."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from recordings.archive import integrity
from recordings.model import Copy, Recording, State
from recordings.storage import StorageBackend
from recordings.timeouts import NoAnswer, TimeLimit

log = logging.getLogger(__name__)

GONE = (
    "The audio is not in the storage any more. Look whether another copy is good; an operator fetches or copies it "
    "anew with: flask recordings verify --repair"
)
SLOW = "The storage does not answer just now. Load this page again in a minute; flask doctor says what is wrong."
FAILED = "The storage cannot be asked just now. Load this page again in a minute; flask doctor says what is wrong."
UNKNOWN = "This storage is not in STORAGE_URL any more, so its audio cannot be reached. Add it there again."


def probe(recording: Recording, storages: Mapping[str, StorageBackend], limit: TimeLimit) -> dict[str, str]:
    """What is wrong with the stored copies, by storage, up to the first good one: that one is heard."""
    stored = [copy for copy in recording.copies if copy.state is State.STORED]
    faults = {copy.storage: UNKNOWN for copy in stored if copy.storage not in storages}
    there = [copy for copy in stored if copy.storage in storages]
    looked_at: dict[str, str] = {}

    def look() -> None:
        for copy in there:
            fault = _fault(storages[copy.storage], copy)
            if not fault:
                return
            looked_at[copy.storage] = fault

    try:
        if there:
            limit.call(look)
    except NoAnswer:
        return faults | {copy.storage: looked_at.get(copy.storage, SLOW) for copy in there}
    return faults | looked_at


def _fault(backend: StorageBackend, copy: Copy) -> str:
    try:
        return "" if integrity.head(backend, copy.key or "") else GONE
    except Exception as error:  # whatever a stranger's backend raises
        log.warning("A storage could not be asked for an object: %s", str(error) or type(error).__name__)
        return FAILED
