"""Azure Blob Storage: `az://container/prefix`, in the terms of Tapekeeper's storage backends.

Nothing of Vonage, of the catalogue or of the settings stands here. The SDK is imported when it is used, never before:
this module must import without it.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlsplit

from recordings.errors import (
    ChecksumMismatch,
    InvalidKey,
    ObjectNotFound,
    StorageConfigurationError,
    StorageError,
    StorageUnavailable,
)
from recordings.keys import check_key
from recordings.storage import AudioSource, AudioStream, ObjectInfo, PutResult

from .credentials import open_service
from .errors import BlocksLost, Occupied, OutOfRange, translated

if TYPE_CHECKING:
    from azure.storage.blob import BlobClient, BlobProperties, BlobServiceClient

# A block is what one transfer holds in memory; a blob has at most 50,000 of them.
# https://learn.microsoft.com/rest/api/storageservices/put-block
BLOCK = 4 * 1024 * 1024
PROBE = "tapekeeper-check"


class AzureBlobStorage:
    """A container, or the part of it under a prefix. See `recordings.model.StorageBackend` for what methods promise.

    `clock` gives the time in UTC; signed URLs end by it.
    """

    def __init__(
        self,
        service: BlobServiceClient,
        container: str,
        prefix: str = "",
        *,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._service = service
        self._container_name = container
        self._container = service.get_container_client(container)
        self._prefix = f"{prefix}/" if prefix else ""
        self._clock = clock

    def __repr__(self) -> str:
        return f"AzureBlobStorage('az://{self._container_name}/{self._prefix}')"

    @classmethod
    def from_url(cls, url: str, env: Mapping[str, str], *, first_delay: float = 1.0) -> Self:
        """`az://container` or `az://container/prefix`; the account and its credentials come from `env`.

        A request is tried again four times: after about `first_delay` seconds at first, later after up to ten more.
        """
        container, prefix = _container_and_prefix(url)
        return cls(open_service(env, first_delay), container, prefix)

    def put(self, key: str, source: AudioSource, *, content_type: str, metadata: Mapping[str, str]) -> PutResult:
        """Create-only. Azure checks the MD5 of each block; the sha256 of the whole goes into the metadata."""
        check_key(key)
        with suppress(ObjectNotFound):
            return self._already(key)
        blob = self._blob(key)
        with source.open() as stream:
            blocks, size, sha256 = self._stage(blob, stream)
        try:
            self._commit(blob, blocks, content_type, {**metadata, "sha256": sha256})
        except (Occupied, BlocksLost):  # another writer's commit drops our uncommitted blocks
            with suppress(ObjectNotFound):
                return self._already(key)
            raise StorageUnavailable(
                f"{_address(blob)} was there, or was written by another, and is gone. It is tried again."
            ) from None
        self._verify(key, blob, size)
        return PutResult(size=size, sha256=sha256, created=True, uri=_address(blob))

    def _stage(self, blob: BlobClient, stream: AudioStream) -> tuple[list[str], int, str]:
        """Send the blocks, which stay invisible until they are committed; ids, size and sha256 of what was sent.

        Always blocks of our own, also for small audio: where an upload died before, Azure refuses a plain Put Blob with
        If-None-Match, and blocks whose ids differ in length from those that are left there. The ids are unique to this
        run, so two writers never mix. https://learn.microsoft.com/rest/api/storageservices/put-block#remarks
        """
        run, size, digest = secrets.token_hex(8), 0, hashlib.sha256()
        blocks: list[str] = []
        with ThreadPoolExecutor(1) as beside:  # for the sha256: one after the other is a fifth slower
            while block := stream.read(BLOCK):
                blocks.append(f"{run}-{len(blocks):06}")
                size += len(block)
                hashed = beside.submit(digest.update, block)
                with translated(f"storing {_address(blob)}"):
                    blob.stage_block(blocks[-1], block, validate_content=True)
                hashed.result()
                del block  # before the next is read: two would be in memory
        return blocks, size, digest.hexdigest()

    def _commit(self, blob: BlobClient, blocks: list[str], content_type: str, metadata: dict[str, str]) -> None:
        from azure.core import MatchConditions
        from azure.storage.blob import BlobBlock, ContentSettings

        # Content-MD5 is left out: Azure would store whatever we claim, unchecked, and it costs as much as the transfer.
        # https://learn.microsoft.com/rest/api/storageservices/put-block-list#request-headers
        with translated(f"finishing {_address(blob)}"):
            blob.commit_block_list(
                [BlobBlock(block) for block in blocks],
                content_settings=ContentSettings(content_type=content_type),
                metadata=metadata,
                match_condition=MatchConditions.IfMissing,
            )

    def _verify(self, key: str, blob: BlobClient, sent: int) -> None:
        with translated(f"verifying {_address(blob)}"):
            properties = blob.get_blob_properties()
        if properties.size == sent:
            return
        from azure.core import MatchConditions

        fate = "They could not be deleted: delete them, or they pass for the recording."
        with suppress(StorageError), translated("deleting a spoilt blob"):
            blob.delete_blob(etag=properties.etag, match_condition=MatchConditions.IfNotModified)
            fate = "They were deleted; it is tried again."
        raise ChecksumMismatch(f"Azure holds {properties.size} bytes as {_address(blob)}, but {sent} were sent. {fate}")

    def _already(self, key: str) -> PutResult:
        there = self.head(key)
        return PutResult(size=there.size, sha256=there.checksums.get("sha256"), created=False, uri=there.uri or "")

    def head(self, key: str) -> ObjectInfo:
        """Size, content type, sha256 (and md5, where another tool gave one) and metadata, in one request."""
        check_key(key)
        blob = self._blob(key)
        with translated(f"looking for {_address(blob)}"):
            return self._info(key, blob.get_blob_properties())

    def get(self, key: str, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        """A request for each MiB, the first before this returns."""
        check_key(key)
        blob = self._blob(key)
        if end is not None and end <= start:
            self.head(key)
            return iter(())
        # An offset of 0 is a range too, and an empty blob has none: 416.
        offset = None if start == 0 and end is None else start
        try:
            with translated(f"reading {_address(blob)}"):
                download = blob.download_blob(offset=offset, length=None if end is None else end - start)
        except OutOfRange:
            return iter(())
        return _pieces(download.chunks(), f"reading {_address(blob)}")

    def delete(self, key: str) -> None:
        """Missing is fine; under a legal hold or an immutability policy it is a `StoragePermissionError`."""
        check_key(key)
        blob = self._blob(key)
        with suppress(ObjectNotFound), translated(f"deleting {_address(blob)}"):
            blob.delete_blob(delete_snapshots="include")

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        """In pages, as the iteration goes on."""
        wanted = self._prefix + prefix
        with translated(f"listing az://{self._container_name}/{wanted}"):
            for item in self._container.list_blobs(name_starts_with=wanted, include=["metadata"]):
                # Accounts with hierarchical namespace list their folders as blobs:
                # https://learn.microsoft.com/azure/storage/blobs/data-lake-storage-known-issues
                if (item.metadata or {}).get("hdi_isfolder") != "true":
                    yield self._info(item.name[len(self._prefix) :], item)

    def signed_url(self, key: str, expires_in: int) -> str | None:
        """A URL with a SAS: by the account's key, or by a key that Azure gives to an identity for at most seven days.

        None where the credentials are a SAS themselves, which cannot make another.
        """
        check_key(key)
        blob = self._blob(key)
        until = self._clock() + timedelta(seconds=max(1, min(expires_in, 7 * 24 * 3600)))
        signer = self._signer(until)
        return f"{_address(blob)}?{_sas(blob, until, signer)}" if signer else None

    def _signer(self, until: datetime) -> dict[str, Any] | None:
        credential = self._service.credential
        if key := getattr(credential, "account_key", None):
            return {"account_key": key}
        if not hasattr(credential, "get_token"):
            return None
        begin = self._clock() - timedelta(minutes=15)  # Azure's clock may be behind ours
        with translated("asking for a key to sign URLs with"):
            return {"user_delegation_key": self._service.get_user_delegation_key(begin, until)}

    def check(self) -> None:
        """Try what archiving needs, to write, read and list, and leave nothing that can be seen.

        A block that is never committed does not make a blob; Azure drops it within a week.
        """
        blob = self._blob(PROBE)
        with translated(f"checking az://{self._container_name}"):
            blob.stage_block("0" * 23, b"-", validate_content=True)
            next(self._container.list_blobs(name_starts_with=self._prefix + PROBE, results_per_page=1), None)
        with suppress(ObjectNotFound):
            self.head(PROBE)

    def close(self) -> None:
        """Close the connection pool, and the credential where it has one of its own."""
        self._service.close()
        close = getattr(self._service.credential, "close", None)
        if close:
            close()

    def _blob(self, key: str) -> BlobClient:
        return self._container.get_blob_client(self._prefix + key)

    def _info(self, key: str, properties: BlobProperties) -> ObjectInfo:
        metadata = dict(properties.metadata or {})
        checksums = {}
        if sha256 := metadata.pop("sha256", None):
            checksums["sha256"] = sha256
        if md5 := properties.content_settings.content_md5:
            checksums["md5"] = bytes(md5).hex()
        return ObjectInfo(
            key=key,
            size=properties.size,
            content_type=properties.content_settings.content_type,
            checksums=checksums,
            metadata=metadata,
            uri=_address(self._blob(key)),
        )


def _pieces(chunks: Iterator[bytes], doing: str) -> Iterator[bytes]:
    with translated(doing):
        yield from chunks


def _address(blob: BlobClient) -> str:
    return blob.url.partition("?")[0]  # what follows is a secret where the credentials are a SAS


def _sas(blob: BlobClient, until: datetime, signer: dict[str, Any]) -> str:
    from azure.storage.blob import BlobSasPermissions, generate_blob_sas

    return generate_blob_sas(
        account_name=blob.account_name or "",
        container_name=blob.container_name,
        blob_name=blob.blob_name,
        permission=BlobSasPermissions(read=True),
        expiry=until,
        protocol="https" if blob.scheme == "https" else None,
        **signer,
    )


def _container_and_prefix(url: str) -> tuple[str, str]:
    parts = urlsplit(url)
    if not parts.netloc or parts.query or parts.fragment or "@" in parts.netloc or ":" in parts.netloc:
        raise StorageConfigurationError(
            "STORAGE_URL for Azure is az://container or az://container/prefix; the account is AZURE_STORAGE_ACCOUNT."
        )
    prefix = parts.path.strip("/")
    try:
        if prefix:
            check_key(prefix)
    except InvalidKey as error:
        raise StorageConfigurationError(f"STORAGE_URL has a prefix that no blob may have. {error}") from None
    return parts.netloc, prefix
