"""Puts the audio of one copy from a source into a storage, and compares it with the storage's own answers.

The source may be Vonage or another storage. Which source is taken, and under which key, is decided by the callers
(`retrieval`, `replicate`); the rows of the catalogue are not touched here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from recordings.errors import ChecksumMismatch, ObjectExists, StorageConfigurationError
from recordings.storage import ObjectInfo, PutResult, StorageBackend

from . import formats, integrity, sidecar
from .heartbeat import HeldLease
from .integrity import Stored
from .sources import Source


@dataclass(frozen=True)
class Transfer:
    """One attempt at one copy: `source` gives the bytes, `target` is to keep them, `held` is the lease on the copy."""

    held: HeldLease
    source: Source
    target: StorageBackend

    def store(self, key: str) -> Stored:
        """Put the source's bytes under this key and prove that the store holds them.

        Raises a `SourceError`, what the store raises, or `LeaseLost`.
        """
        kind, metadata = self.source.look(), sidecar.identity(self.held.claim.recording)
        self.held.check()
        result = integrity.put(self.target, key, self.source, content_type=kind.content_type, metadata=metadata)
        self.held.check()
        info = integrity.head(self.target, key)
        if not result.created and info is not None:
            return self._settled(info, kind)
        stream = self.source.stream
        if stream is None:
            raise ChecksumMismatch(f"{key}: the store reported success, but never opened the source.")
        integrity.agree(key, stream, result, info)
        return Stored(key, kind, PutResult(stream.received, stream.sha256, True, result.uri))

    def settle(self, key: str, kind: formats.Kind) -> Stored | None:
        """The object under this key, once it is proven to be this recording; None when there is no object."""
        self.held.check()
        info = integrity.head(self.target, key)
        return self._settled(info, kind) if info else None

    def _settled(self, info: ObjectInfo, kind: formats.Kind) -> Stored:
        """Make sure that the object under the key is this recording, and whole.

        A crash after the object was stored and before the catalogue knew it leaves such an object. Where the store has
        no metadata or no digest to prove whose bytes these are, they are compared with the source's own.
        """
        self._check_owner(info)
        size, sha256 = integrity.read_back(self.target, info.key, self.held.check)
        recorded = info.checksums.get("sha256")
        if size != info.size or recorded not in (None, sha256):
            raise ChecksumMismatch(
                f"{info.key} is damaged: it does not read back as it was stored. Move it away, and it is fetched anew."
            )
        proven = recorded is not None and "recording_uuid" in info.metadata
        if self.source.expected(proven=proven) not in (None, (size, sha256)):
            uuid = self.held.claim.recording.recording_uuid
            raise ObjectExists(f"{info.key} holds other audio than {uuid}: move it away and retry.")
        return Stored(info.key, kind, PutResult(size, sha256, False, info.uri or info.key))

    def _check_owner(self, info: ObjectInfo) -> None:
        identity = sidecar.identity(self.held.claim.recording)
        if any(info.metadata.get(name, value) != value for name, value in identity.items()):
            raise ObjectExists(
                f"{info.key} holds another recording, {info.metadata.get('recording_uuid')}. Where two applications "
                "share a storage, put {application_id} into STORAGE_KEY_TEMPLATE."
            )


def configured(storages: Mapping[str, StorageBackend], storage: str) -> StorageBackend:
    """The backend of a copy's storage. Raises `StorageConfigurationError` when it is not configured any more."""
    if storage not in storages:
        raise StorageConfigurationError(f"{storage} is not in STORAGE_URL any more: add it back to finish this copy.")
    return storages[storage]
