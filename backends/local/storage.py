"""Recordings in a folder: `STORAGE_URL=file:///srv/recordings`. One file for each key, nothing half-written in sight.

A put writes a draft (`backends.drafts`), syncs it, and gives it its name, which goes to exactly one writer. Content
type, sha256 and metadata lie in an extended attribute, set before the name is given; where the file system has none,
`head` tells the size alone. How a key becomes an open folder or file stands in `backends.tree`. Nothing here knows what
a recording is.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import secrets
import stat
from collections.abc import Iterator, Mapping
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote_to_bytes, urlsplit

from recordings.errors import ObjectNotFound, StorageConfigurationError, StorageUnavailable
from recordings.keys import SEGMENT, check_key
from recordings.storage import AudioSource, AudioStream, ObjectInfo, PutResult

from .drafts import CHECK, Draft, Drafts, enter, sync
from .errors import translated
from .tree import Tree, open_file

PIECE = 1024 * 1024
ATTRIBUTE = "user.tapekeeper"
RESERVED = PIECE + 1  # bytes from which room is reserved: what is smaller is written in one go


class LocalStorage:
    """A storage backend in the folder `root`, which the first put makes. Safe for threads.

    `drafts` and `xattrs` are what the file system can do, for a caller who knows better than what trying would tell.
    """

    def __init__(self, root: Path, *, drafts: Drafts | None = None, xattrs: bool = hasattr(os, "setxattr")) -> None:
        self.root = root
        self._tree = Tree(root)
        self._drafts = drafts or Drafts()
        self._xattrs = xattrs

    @classmethod
    def from_url(cls, url: str, env: Mapping[str, str]) -> LocalStorage:
        """Make one from `file:///folder`; `env` is not read. Raises `StorageConfigurationError`."""
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
        return cls(Path(path))

    def __repr__(self) -> str:
        return f"LocalStorage({str(self.root)!r})"

    # --- the protocol ---

    def put(self, key: str, source: AudioSource, *, content_type: str, metadata: Mapping[str, str]) -> PutResult:
        """Store the source under `key`, or leave no trace; see `recordings.model.StorageBackend`."""
        check_key(key)
        with self._place(key, create=True) as (folder, name):
            found = self._found(key, folder, name)
            if found:
                return found
            with self._draft(folder, key) as draft:
                # Only our own calls are translated: an OSError of the source is the source's, not the disk's.
                with source.open() as stream:
                    size, sha256 = self._fill(draft.fd, stream, key)
                with self._explained(key):
                    self._describe(draft.fd, content_type, sha256, metadata)
                    os.fsync(draft.fd)
                    created = draft.publish(folder, name)
                    sync(folder)
            if created:
                return PutResult(size, sha256, True, self._uri(key))
            found = self._found(key, folder, name)
            if found:
                return found
            raise StorageUnavailable(f"{self.root / key} was there and was deleted meanwhile. It is tried again.")

    def head(self, key: str) -> ObjectInfo:
        """What is under `key`; checksums, content type and metadata only where the file system keeps attributes."""
        fd, size = self._open(key)
        try:
            told = self._described(fd)
        finally:
            os.close(fd)
        sha256 = told.get("sha256")
        return ObjectInfo(
            key=key,
            size=size,
            content_type=told.get("content_type"),
            checksums={"sha256": sha256} if sha256 else {},
            metadata=told.get("metadata", {}),
            uri=self._uri(key),
        )

    def get(self, key: str, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        """The bytes from `start` up to `end`, exclusive, in pieces of 1 MiB. A missing key raises at the call."""
        fd, size = self._open(key)
        os.close(fd)
        return self._pieces(key, max(start, 0), size if end is None else min(end, size))

    def delete(self, key: str) -> None:
        """Remove the object; a missing one is fine. Folders stay: another put may be on its way into one."""
        check_key(key)
        with suppress(ObjectNotFound), self._place(key) as (folder, name), self._explained(key, missing=True):
            os.unlink(name, dir_fd=folder)
            sync(folder)

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        """Every object whose key starts with `prefix`, in the order of the keys; size and URI only."""
        with suppress(ObjectNotFound), self._top() as root:
            yield from self._walk(root, "", prefix)

    def signed_url(self, key: str, expires_in: int) -> str | None:
        """None: a folder cannot serve itself."""
        return None

    def check(self) -> None:
        """Write, name, read and delete a small file, as a put would; clear away drafts older than a day."""
        name, word = f"{CHECK}{secrets.token_hex(8)}", secrets.token_bytes(16)
        with self._top(create=True) as root, self._explained(""):
            with self._draft(root, "") as draft:
                os.write(draft.fd, word)
                os.fsync(draft.fd)
                draft.publish(root, name)
            with open(name, "rb", opener=lambda path, flags: os.open(path, flags, dir_fd=root)) as file:
                came_back = file.read()
            os.unlink(name, dir_fd=root)
            self._drafts.sweep(root)
        if came_back != word:
            raise StorageUnavailable(f"{self.root} gave back other bytes than were written. Check the disk.")

    def close(self) -> None:
        """Nothing is held open between calls."""

    # --- ways in ---

    def _top(self, *, create: bool = False) -> _Open:
        return _Open(self._tree.top(create=create))

    def _place(self, key: str, *, create: bool = False) -> _Place:
        """The folder that the key's last part lies in, opened, and that part."""
        path, _, name = key.rpartition("/")
        with self._explained(key, missing=not create):
            return _Place(self._tree.folder(path, create=create), name)

    def _open(self, key: str) -> tuple[int, int]:
        """The object's file, opened, and its size."""
        check_key(key)
        with self._explained(key, missing=True):
            return self._tree.file(key)

    def _explained(self, key: str, *, missing: bool = False) -> translated:
        return translated(self.root, key, missing=missing)

    # --- reading ---

    def _pieces(self, key: str, position: int, end: int) -> Iterator[bytes]:
        fd, _ = self._open(key)
        try:
            while position < end:
                with self._explained(key):
                    piece = os.pread(fd, min(PIECE, end - position), position)
                if not piece:
                    raise StorageUnavailable(f"{self.root / key} became shorter while it was read.")
                position += len(piece)
                yield piece
        finally:
            os.close(fd)

    def _walk(self, folder: int, path: str, prefix: str) -> Iterator[ObjectInfo]:
        with self._explained(path), os.scandir(folder) as entries:
            # Names outside the grammar (drafts, lost+found) are not ours. A folder sorts with its slash, as in keys.
            ours = [entry for entry in entries if SEGMENT.fullmatch(entry.name)]
            names = sorted(path + entry.name + "/" * entry.is_dir(follow_symlinks=False) for entry in ours)
        for key in names:
            if key.endswith("/") and (key.startswith(prefix) or prefix.startswith(key)):
                yield from self._walk_into(folder, key[len(path) : -1], key, prefix)
            elif key.startswith(prefix):
                with suppress(FileNotFoundError):
                    found = os.stat(key[len(path) :], dir_fd=folder, follow_symlinks=False)
                    if stat.S_ISREG(found.st_mode):
                        yield ObjectInfo(key=key, size=found.st_size, uri=self._uri(key))

    def _walk_into(self, folder: int, name: str, path: str, prefix: str) -> Iterator[ObjectInfo]:
        with suppress(ObjectNotFound), self._explained(path, missing=True):
            deeper = enter(folder, name, create=False)
            try:
                yield from self._walk(deeper, path, prefix)
            finally:
                os.close(deeper)

    def _found(self, key: str, folder: int, name: str) -> PutResult | None:
        """The object that is there already, made durable: its writer may have died between the name and the sync."""
        with self._explained(key):
            try:
                fd, size = open_file(folder, name)
            except FileNotFoundError:
                return None
            try:
                sync(folder)
                return PutResult(size, self._described(fd).get("sha256"), False, self._uri(key))
            finally:
                os.close(fd)

    def _uri(self, key: str) -> str:
        return f"{self._root_uri}/{quote(key)}"

    @cached_property
    def _root_uri(self) -> str:
        return self.root.as_uri().removesuffix("/")

    # --- writing ---

    def _fill(self, fd: int, stream: AudioStream, key: str) -> tuple[int, str]:
        """Copy the stream; its size in bytes and sha256.

        The digest is worth its price here: one core makes 1.8 GB/s, several times what a disk takes, and it lets
        `head` answer for the bytes years later, when nothing else remembers them.
        """
        size, digest = 0, hashlib.sha256()
        reserved = stream.size if stream.size and stream.size >= RESERVED else 0
        if reserved:
            with self._explained(key):
                _reserve(fd, reserved)  # a full disk is better known before the download than after
        while piece := stream.read(PIECE):
            with self._explained(key):
                _write(fd, piece)
            digest.update(piece)
            size += len(piece)
        if size < reserved:
            with self._explained(key):
                os.ftruncate(fd, size)
        return size, digest.hexdigest()

    def _describe(self, fd: int, content_type: str, sha256: str, metadata: Mapping[str, str]) -> None:
        """Beside the bytes, as one attribute: each one costs as much as a write of its own."""
        told = {"content_type": content_type, "sha256": sha256}
        for words in ({**told, "metadata": dict(metadata)}, told) if self._xattrs else ():
            # Not supported, or no room for it (ext4 has one block, and says ENOSPC): the audio matters, this does not.
            with suppress(OSError):
                os.setxattr(fd, ATTRIBUTE, json.dumps(words).encode())
                return

    def _described(self, fd: int) -> dict[str, Any]:
        """What `_describe` wrote, empty where nothing was kept."""
        with suppress(OSError, ValueError):
            told = json.loads(os.getxattr(fd, ATTRIBUTE)) if self._xattrs else {}
            return told if isinstance(told, dict) else {}
        return {}

    def _draft(self, folder: int, key: str) -> Draft:
        with self._explained(key):
            return self._drafts.begin(lambda: self._tree.top(create=True), folder)


class _Open:
    """An open folder."""

    __slots__ = ("_fd",)

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def __enter__(self) -> int:
        return self._fd

    def __exit__(self, *_: object) -> None:
        os.close(self._fd)


class _Place:
    """An open folder, and a name in it."""

    __slots__ = ("_folder", "_name")

    def __init__(self, folder: int, name: str) -> None:
        self._folder, self._name = folder, name

    def __enter__(self) -> tuple[int, str]:
        return self._folder, self._name

    def __exit__(self, *_: object) -> None:
        os.close(self._folder)


def _reserve(fd: int, size: int) -> None:
    try:
        os.posix_fallocate(fd, 0, size)
    except OSError as error:
        if error.errno not in (errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL, errno.ENODEV):
            raise


def _write(fd: int, piece: bytes) -> None:
    rest = memoryview(piece)
    while rest:
        rest = rest[os.write(fd, rest) :]
