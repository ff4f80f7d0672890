"""Reading an archived recording back, proven: its bytes are those that were stored, or they are not handed out.

Writing to a store is not here: see `transfer`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import BinaryIO

from recordings.errors import TapekeeperError
from recordings.messages import message_of
from recordings.model import Copy, Recording, State
from recordings.storage import StorageBackend


class AudioUnavailable(TapekeeperError):
    """No storage gives the audio; the message says why, for each copy."""


def read_audio(recording: Recording, storages: Mapping[str, StorageBackend], target: BinaryIO) -> Copy:
    """Write the recording's audio to an empty, seekable file. Returns the copy that it came from.

    The copies are tried in their order until one has the size and the SHA-256 that the catalogue knows. Raises
    `AudioUnavailable`, and then leaves the file empty.
    """
    problems = []
    for copy in recording.copies:
        problem = _read_copy(copy, storages.get(copy.storage), target)
        if problem is None:
            target.seek(0)
            return copy
        target.seek(0)
        target.truncate()
        problems.append(f"{copy.storage}: {problem}")
    reasons = " ".join(problems) or "It was announced without audio."
    raise AudioUnavailable(f"The audio of {recording.recording_uuid} cannot be read. {reasons}")


def _read_copy(copy: Copy, backend: StorageBackend | None, target: BinaryIO) -> str | None:
    """Write the bytes of one copy. Returns what is wrong with them, or None."""
    if copy.state is not State.STORED or copy.key is None:
        return f"the copy is {copy.state.value}."
    if backend is None:
        return "the storage is not in STORAGE_URL any more: add it back."
    digest, size = hashlib.sha256(), 0
    try:
        for piece in backend.get(copy.key):
            target.write(piece)
            digest.update(piece)
            size += len(piece)
    except Exception as error:  # whatever a stranger's backend raises
        return f"reading {copy.key} failed: {message_of(error)}"
    if copy.size not in (None, size) or copy.sha256 not in (None, digest.hexdigest()):
        return f"{copy.key} is damaged; see: flask recordings verify --repair."
    return None
