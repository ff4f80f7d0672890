"""The files that the pretend Vonage offers for download, and what is remembered about each.

Here live the shelf, its files, and each file's list of misbehaviours still to come. How a misbehaviour looks on the
wire is in `misbehaviour`; who may have a file is in `server`.
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from .sounds import CONTENT_TYPES, Synthetic

SIZED_PREFIX = "sized-"


@dataclass
class ServedFile:
    """One file under `/v1/files/<id>`.

    `audio` is the whole content, or a `Synthetic` stream. `faults` are consumed, one a request with a valid token,
    before the file is served as it is. `requests` counts every GET, refused ones too; `authorizations` holds the
    header of each ("" when absent) and appears in no repr.
    """

    id: str
    audio: bytes | Synthetic = field(repr=False)
    content_type: str = "audio/mpeg"
    format: str = "mp3"
    channels: int = 1
    url: str = ""
    faults: deque[str] = field(default_factory=deque)
    requests: int = 0
    refused: int = 0
    served: int = 0
    authorizations: list[str] = field(default_factory=list, repr=False)
    created: float = field(default_factory=time.time)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    @property
    def size(self) -> int:
        """Bytes."""
        return len(self.audio) if isinstance(self.audio, bytes) else self.audio.size

    @cached_property
    def sha256(self) -> str:
        """Of the true content, lower-case hex. A synthetic file runs through its stream the first time."""
        return hashlib.sha256(self.audio).hexdigest() if isinstance(self.audio, bytes) else self.audio.sha256()

    @property
    def content(self) -> bytes:
        """The true content, whole: think of the memory before asking it of a big synthetic file."""
        return self.audio if isinstance(self.audio, bytes) else b"".join(self.audio.chunks())

    def chunks(self, limit: int | None = None) -> Iterator[bytes]:
        """The true content in pieces; with `limit` its first so many bytes."""
        left = self.size if limit is None else limit
        for piece in [self.audio] if isinstance(self.audio, bytes) else self.audio.chunks():
            if left <= 0:
                return
            yield piece[:left]
            left -= len(piece)

    def note(self, authorization: str, *, refused: bool) -> None:
        """Remember a request."""
        with self._lock:
            self.requests += 1
            self.refused += refused
            self.authorizations.append(authorization)

    def next_fault(self) -> str | None:
        """How to misbehave this time, or None."""
        with self._lock:
            return self.faults.popleft() if self.faults else None

    def note_served(self) -> None:
        """The whole file was handed to the server once more."""
        with self._lock:
            self.served += 1


class Shelf(Mapping[str, ServedFile]):
    """All files by id. Safe to use from several threads.

    With `sized_ids`, an id such as `sized-204800-anything` is a synthetic MP3 of 204 800 bytes that needs no adding
    and leaves no trace: thousands of big files for a load test in another process.
    """

    def __init__(self, files: Iterable[ServedFile] = (), *, sized_ids: bool = False) -> None:
        self._files = {file.id: file for file in files}
        self._sized_ids = sized_ids

    def add(self, file: ServedFile) -> ServedFile:
        """Offer one more file; an id that is taken is an error."""
        if self._files.setdefault(file.id, file) is not file:
            raise ValueError(f"There is a file {file.id!r} already.")
        return file

    def find(self, file_id: str) -> ServedFile | None:
        """The file, also one that its id alone describes."""
        return self._files.get(file_id) or (sized_file(file_id) if self._sized_ids else None)

    def __getitem__(self, file_id: str) -> ServedFile:
        return self._files[file_id]

    def __iter__(self) -> Iterator[str]:
        return iter(list(self._files))

    def __len__(self) -> int:
        return len(self._files)


def sized_file(file_id: str) -> ServedFile | None:
    """The synthetic file that `sized-<bytes>-<anything>` describes, or None for any other id."""
    size = file_id.removeprefix(SIZED_PREFIX).partition("-")[0]
    if not file_id.startswith(SIZED_PREFIX) or not size.isascii() or not size.isdigit() or len(size) > 12:
        return None
    return ServedFile(file_id, Synthetic(int(size), file_id), CONTENT_TYPES["mp3"])
