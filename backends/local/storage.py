"""The storage backend for a folder: `STORAGE_URL=file:///srv/recordings`. An object is a file, never seen half-written.

`put` writes a draft (see `drafts.py`), syncs it, and gives it its name, which only one writer gets. Content type,
sha256 and metadata lie in an extended attribute, which is set before the name is given; on a file system without
attributes, `head` knows only the size. How a key becomes an open folder or file is in `tree.py`. Nothing here knows
what a recording is.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import secrets
import stat
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote_to_bytes, urlsplit

from recordings import disk
from recordings.errors import ObjectNotFound, StorageConfigurationError, StorageUnavailable
from recordings.keys import SEGMENT, check_key
from recordings.storage import AudioSource, AudioStream, ObjectInfo, PutResult

from .drafts import CHECK_FILE, Draft, Drafts, enter, hold, sync
from .errors import SPACE, translated
from .tree import Tree, open_file

PIECE = 1024 * 1024
ATTRIBUTE = "user.tapekeeper"
RESERVED = PIECE + 1  # bytes: from this size on, disk space is reserved; a smaller file is written in one call
LOOK = 64 * PIECE  # bytes between two looks at the disk's free space


class LocalStorage:
    """A storage backend in the folder `root`, which the first `put` makes. Safe for threads.

    `drafts` and `xattrs` say what the file system supports, in place of what the backend would find out by trying.
    `reserve` gives the bytes to keep free for the catalogue, by the size of the file system.
    """

    def __init__(
        self,
        root: Path,
        *,
        drafts: Drafts | None = None,
        xattrs: bool = hasattr(os, "setxattr"),
        reserve: Callable[[int], int] = disk.reserve,
    ) -> None:
        self.root = root
        self._reserve = reserve
        self._tree = Tree(root)
        self._drafts = drafts or Drafts()
        self._xattrs = xattrs

    @classmethod
    def from_url(cls, url: str, env: Mapping[str, str]) -> LocalStorage:
        """Make a backend from `file:///folder` and STORAGE_RESERVE_MB. Raises `StorageConfigurationError`."""
        parts = urlsplit(url)
        path = os.fsdecode(unquote_to_bytes(parts.path))
        if parts.netloc not in ("", "localhost") or not path.startswith("/"):
            raise StorageConfigurationError(
                f"STORAGE_URL {url!r} is not an absolute path. Write file:// and the whole path, three slashes in all: "
                f"file:///{(parts.netloc + path).lstrip('/')}"
            )
        if parts.query or parts.fragment or "\0" in path:
            raise StorageConfigurationError(
                f"STORAGE_URL {url!r} holds more than a path. Write a ? in a folder's name as %3F, a # as %23."
            )
        return cls(Path(path), reserve=disk.reserve_of(env.get("STORAGE_RESERVE_MB", "")))

    def __repr__(self) -> str:
        return f"LocalStorage({str(self.root)!r})"

    # --- the protocol ---

    def put(self, key: str, source: AudioSource, *, content_type: str, metadata: Mapping[str, str]) -> PutResult:
        """Store the source under `key`, or leave no trace; see `recordings.storage.StorageBackend`."""
        check_key(key)
        with self._place(key, create=True) as (folder, name):
            if existing := self._existing(key, folder, name):
                return existing
            self._keep_free(folder, key, source.size or 0)
            with self._draft(folder, key) as draft:
                # Only our own calls are translated: an OSError of the source is not an error of this disk.
                with source.open() as stream:
                    size, sha256 = self._fill(draft.fd, stream, key)
                with self._translated(key):
                    self._describe(draft.fd, content_type, sha256, metadata)
                    os.fsync(draft.fd)
                    created = draft.publish(folder, name)
                    sync(folder)
            if created:
                return PutResult(size, sha256, True, self._uri(key))
            if existing := self._existing(key, folder, name):
                return existing
            raise StorageUnavailable(
                f"Another writer stored {self.root / key}, and it was deleted meanwhile. It is tried again."
            )

    def head(self, key: str) -> ObjectInfo:
        """The object's size; checksums, content type and metadata only where the file system has attributes."""
        fd, size = self._open(key)
        try:
            description = self._description(fd)
        finally:
            os.close(fd)
        sha256 = description.get("sha256")
        return ObjectInfo(
            key=key,
            size=size,
            content_type=description.get("content_type"),
            checksums={"sha256": sha256} if sha256 else {},
            metadata=description.get("metadata", {}),
            uri=self._uri(key),
        )

    def get(self, key: str, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        """The bytes from `start` up to `end`, exclusive, in pieces of 1 MiB. A missing key raises at the call."""
        fd, size = self._open(key)
        os.close(fd)
        return self._pieces(key, max(start, 0), size if end is None else min(end, size))

    def delete(self, key: str) -> None:
        """Remove the object, if there is one. Folders stay: another `put` may be about to write into one."""
        check_key(key)
        with suppress(ObjectNotFound), self._place(key) as (folder, name), self._translated(key, missing=True):
            os.unlink(name, dir_fd=folder)
            sync(folder)

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        """Every object whose key starts with `prefix`, sorted by key; with size and URI only."""
        with suppress(ObjectNotFound), self._top() as root:
            yield from self._walk(root, "", prefix)

    def signed_url(self, key: str, expires_in: int) -> str | None:
        """None: a folder serves no URLs."""
        return None

    def check(self) -> None:
        """Write, name, read and delete a small file, as `put` would; remove what writers that died left behind."""
        name, data = f"{CHECK_FILE}{secrets.token_hex(8)}", secrets.token_bytes(16)
        with self._top(create=True) as root, self._translated(""):
            with self._draft(root, "") as draft:
                os.write(draft.fd, data)
                os.fsync(draft.fd)
                hold(draft.fd)
                draft.publish(root, name)
                data_read = _read(root, name)
                os.unlink(name, dir_fd=root)
            self._drafts.sweep(root)
        if data_read != data:
            raise StorageUnavailable(f"{self.root} gave back other bytes than were written. Check the disk.")

    def close(self) -> None:
        """Nothing is held open between calls."""

    # --- opening ---

    def _top(self, *, create: bool = False) -> _OpenFolder:
        return _OpenFolder(self._tree.top(create=create))

    def _place(self, key: str, *, create: bool = False) -> _Place:
        """The opened folder of the key's file, and the file's name in it."""
        path, _, name = key.rpartition("/")
        with self._translated(key, missing=not create):
            return _Place(self._tree.folder(path, create=create), name)

    def _open(self, key: str) -> tuple[int, int]:
        """The object's file, opened, and its size."""
        check_key(key)
        with self._translated(key, missing=True):
            return self._tree.file(key)

    def _translated(self, key: str, *, missing: bool = False) -> translated:
        return translated(self.root, key, missing=missing)

    # --- reading ---

    def _pieces(self, key: str, position: int, end: int) -> Iterator[bytes]:
        fd, _ = self._open(key)
        try:
            while position < end:
                with self._translated(key):
                    piece = os.pread(fd, min(PIECE, end - position), position)
                if not piece:
                    raise StorageUnavailable(f"{self.root / key} became shorter while it was read.")
                position += len(piece)
                yield piece
        finally:
            os.close(fd)

    def _walk(self, folder: int, path: str, prefix: str) -> Iterator[ObjectInfo]:
        with self._translated(path), os.scandir(folder) as entries:
            # A name that cannot be part of a key (drafts, lost+found) is not ours. A folder sorts with its slash.
            ours = [entry for entry in entries if SEGMENT.fullmatch(entry.name)]
            names = sorted(path + entry.name + "/" * entry.is_dir(follow_symlinks=False) for entry in ours)
        for key in names:
            if key.endswith("/") and (key.startswith(prefix) or prefix.startswith(key)):
                yield from self._walk_into(folder, key[len(path) : -1], key, prefix)
            elif key.startswith(prefix):
                with suppress(FileNotFoundError):
                    status = os.stat(key[len(path) :], dir_fd=folder, follow_symlinks=False)
                    if stat.S_ISREG(status.st_mode):
                        yield ObjectInfo(key=key, size=status.st_size, uri=self._uri(key))

    def _walk_into(self, folder: int, name: str, path: str, prefix: str) -> Iterator[ObjectInfo]:
        with suppress(ObjectNotFound), self._translated(path, missing=True):
            subfolder = enter(folder, name, create=False)
            try:
                yield from self._walk(subfolder, path, prefix)
            finally:
                os.close(subfolder)

    def _existing(self, key: str, folder: int, name: str) -> PutResult | None:
        """What `put` answers when the key already holds an object; None when it holds none.

        The folder is synced here, too: the writer of the object may have died between the naming and the sync.
        """
        with self._translated(key):
            try:
                fd, size = open_file(folder, name)
            except FileNotFoundError:
                return None
            try:
                sync(folder)
                return PutResult(size, self._description(fd).get("sha256"), False, self._uri(key))
            finally:
                os.close(fd)

    def _uri(self, key: str) -> str:
        return f"{self._root_uri}/{quote(key)}"

    @cached_property
    def _root_uri(self) -> str:
        return self.root.as_uri().removesuffix("/")

    # --- writing ---

    def _fill(self, fd: int, stream: AudioStream, key: str) -> tuple[int, str]:
        """Copy the stream into the file; the answer is its size in bytes and its sha256.

        The sha256 is cheap: one core hashes 1.8 GB/s, several times the speed of a disk. It lets `head` prove the bytes
        years later, when nothing else knows them.
        """
        size, digest = 0, hashlib.sha256()
        allocated = stream.size if stream.size and stream.size >= RESERVED else 0
        if allocated:
            self._keep_free(fd, key, allocated)
            with self._translated(key):
                _allocate(fd, allocated)  # a full disk is noticed before the download, not after it
            self._keep_free(fd, key)  # others may have allocated at the same moment
        while piece := stream.read(PIECE):
            with self._translated(key):
                _write(fd, piece)
            digest.update(piece)
            size += len(piece)
            if size % LOOK == 0:
                self._keep_free(fd, key)
        if size < allocated:
            with self._translated(key):
                os.ftruncate(fd, size)
        return size, digest.hexdigest()

    def _keep_free(self, fd: int, key: str, wanted: int = 0) -> None:
        """Raise `StorageUnavailable` where `wanted` more bytes would use up the room that is kept for the catalogue."""
        with self._translated(key):
            free, total = disk.space(fd)
        reserve = self._reserve(total)
        if total and free - wanted < reserve:  # some network file systems do not tell their size
            raise StorageUnavailable(
                f"{self.root / key}: {_mib(free)} MiB are free, this takes {_mib(wanted)} MiB, and {_mib(reserve)} MiB "
                f"are kept free for the catalogue (STORAGE_RESERVE_MB). {SPACE}"
            )

    def _describe(self, fd: int, content_type: str, sha256: str, metadata: Mapping[str, str]) -> None:
        """Write the description of the object into one attribute: each attribute takes as long as a write.

        An attribute too small for the metadata holds only the rest: ext4 has one block for it, and answers ENOSPC.
        """
        short = {"content_type": content_type, "sha256": sha256}
        for description in ({**short, "metadata": dict(metadata)}, short) if self._xattrs else ():
            with suppress(OSError):  # without attributes, or without room for one, the audio is stored all the same
                os.setxattr(fd, ATTRIBUTE, json.dumps(description).encode())
                return

    def _description(self, fd: int) -> dict[str, Any]:
        """What `_describe` wrote; empty where the file has no attribute."""
        with suppress(OSError, ValueError):
            description = json.loads(os.getxattr(fd, ATTRIBUTE)) if self._xattrs else {}
            return description if isinstance(description, dict) else {}
        return {}

    def _draft(self, folder: int, key: str) -> Draft:
        with self._translated(key):
            return self._drafts.begin(lambda: self._tree.top(create=True), folder)


class _OpenFolder:
    """An open folder, closed at the end of the block."""

    __slots__ = ("_fd",)

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def __enter__(self) -> int:
        return self._fd

    def __exit__(self, *_: object) -> None:
        os.close(self._fd)


class _Place:
    """An open folder, closed at the end of the block, and a name in it."""

    __slots__ = ("_folder", "_name")

    def __init__(self, folder: int, name: str) -> None:
        self._folder, self._name = folder, name

    def __enter__(self) -> tuple[int, str]:
        return self._folder, self._name

    def __exit__(self, *_: object) -> None:
        os.close(self._folder)


def _mib(size: int) -> str:
    return f"{size / disk.MIB:.1f}"


def _read(folder: int, name: str) -> bytes:
    with open(name, "rb", opener=lambda path, flags: os.open(path, flags, dir_fd=folder)) as file:
        return file.read()


def _allocate(fd: int, size: int) -> None:
    try:
        os.posix_fallocate(fd, 0, size)
    except OSError as error:
        if error.errno not in (errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL, errno.ENODEV):
            raise


def _write(fd: int, piece: bytes) -> None:
    unwritten = memoryview(piece)
    while unwritten:
        unwritten = unwritten[os.write(fd, unwritten) :]
