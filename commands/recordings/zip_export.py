"""The zip of `flask recordings export`: written as it is read, one recording after the other, memory flat."""

from __future__ import annotations

import hashlib
import io
import tempfile
import zipfile
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, BinaryIO

from recordings.archive import integrity
from recordings.archive.reading import AudioUnavailable, read_audio
from recordings.archive.sidecar import SUFFIX
from recordings.clock import utc_now
from recordings.model import State

if TYPE_CHECKING:
    from recordings.catalogue.search import RecordingRow
    from recordings.model import Copy
    from recordings.storage import StorageBackend

_PIECE = 1024 * 1024  # bytes
_MOST_SIDECAR = 1024 * 1024
_LISTING, _SUMS = "recordings.jsonl", "SHA256SUMS"


def write_zip(
    rows: Iterable[RecordingRow],
    storages: Mapping[str, StorageBackend],
    target: BinaryIO,
    *,
    note: Callable[[RecordingRow], None],
    line: Callable[[RecordingRow], bytes],
) -> list[str]:
    """Write the zip. Returns a sentence for each stored recording whose audio could not be read.

    `note` is called before a recording is read; `line` gives all that is known of it, as a line of JSON.
    """
    problems: list[str] = []
    sums: list[str] = []
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as archive, tempfile.TemporaryFile() as listing:
        for row in rows:
            listing.write(line(row))
            if row.recording.state is State.EMPTY or not _has_stored(row):
                continue
            note(row)
            try:
                sums += _add(archive, row, storages)
            except AudioUnavailable as error:
                problems.append(str(error))
        listing.seek(0)
        sums.append(_write(archive, _LISTING, listing, utc_now()))
        archive.writestr(_SUMS, "".join(sums))
    return problems


def _has_stored(row: RecordingRow) -> bool:
    return any(copy.state is State.STORED for copy in row.recording.copies)


def _add(archive: zipfile.ZipFile, row: RecordingRow, storages: Mapping[str, StorageBackend]) -> list[str]:
    """Add the audio and its sidecar. Returns their lines of the checksums."""
    with tempfile.TemporaryFile() as audio:
        copy = read_audio(row.recording, storages, audio)
        name = _free_name(archive, copy.key or "", row.id)
        moment = row.recording.received_at
        lines = [_write(archive, name, audio, moment)]
    sidecar = _sidecar(storages[copy.storage], copy)
    if sidecar is not None:
        lines.append(_write(archive, name + SUFFIX, io.BytesIO(sidecar), moment))
    return lines


def _free_name(archive: zipfile.ZipFile, key: str, row_id: int) -> str:
    """The key, which may be the same in two storages; nothing in it leads out of the folder where it is unpacked."""
    name = "/".join(part for part in PurePosixPath(key).parts if part not in ("/", "..", "."))
    return name if name and name not in archive.NameToInfo else f"{row_id}/{name or 'audio'}"


def _write(archive: zipfile.ZipFile, name: str, source: BinaryIO, moment: datetime) -> str:
    """Add a file of this time. Returns its line of the checksums."""
    digest = hashlib.sha256()
    entry = zipfile.ZipInfo(name, moment.astimezone(UTC).timetuple()[:6])
    with archive.open(entry, "w", force_zip64=True) as file:
        while piece := source.read(_PIECE):
            digest.update(piece)
            file.write(piece)
    return f"{digest.hexdigest()}  {name}\n"


def _sidecar(backend: StorageBackend, copy: Copy) -> bytes | None:
    """The sidecar beside the audio; None: there is none, or it cannot be read."""
    key = f"{copy.key}{SUFFIX}"
    try:
        info = integrity.head(backend, key)
        return b"".join(backend.get(key)) if info is not None and info.size <= _MOST_SIDECAR else None
    except Exception:  # whatever a stranger's backend raises
        return None
