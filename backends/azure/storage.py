"""The storage backend for Azure Blob Storage: `STORAGE_URL=az://container/prefix`.

Nothing here knows Vonage, the catalogue or the settings. The SDK is imported inside the functions that use it, so that
this module imports without it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlsplit

from recordings.clock import utc_now
from recordings.errors import (
    InvalidKey,
    ObjectNotFound,
    StorageConfigurationError,
    StorageUnavailable,
)
from recordings.keys import check_key
from recordings.storage import AudioSource, ObjectInfo, PutResult

from .credentials import open_service
from .errors import BlocksLost, KeyTaken, RangeBehindEnd, translated
from .upload import Upload

if TYPE_CHECKING:
    from azure.storage.blob import BlobClient, BlobProperties, BlobServiceClient

CHECK_KEY = "tapekeeper-check"  # the key that `check` tries; it never holds a blob
LONGEST_URL = 7 * 24 * 3600  # seconds: the longest life of a user delegation key, and so of a URL


class AzureBlobStorage:
    """A container, or the part of it below a prefix.

    `recordings.storage.StorageBackend` says what each method promises. `clock` gives the time in UTC; signed URLs
    expire by it.
    """

    def __init__(
        self,
        service: BlobServiceClient,
        container: str,
        prefix: str = "",
        *,
        clock: Callable[[], datetime] = utc_now,
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

        The SDK tries a request again up to four times: first after about `first_delay` seconds, then ever later.
        """
        container, prefix = _parse_url(url)
        return cls(open_service(env, first_delay), container, prefix)

    def put(self, key: str, source: AudioSource, *, content_type: str, metadata: Mapping[str, str]) -> PutResult:
        """Store the source, unless the key already holds a blob. The sha256 of the bytes goes into the metadata."""
        check_key(key)
        if existing := self._existing(key):
            return existing
        upload = Upload(self._blob(key), self._uri(key))
        with source.open() as stream:
            upload.run(stream)
        try:
            upload.commit(content_type, metadata)
        except (KeyTaken, BlocksLost):  # the commit of another writer deletes our uncommitted blocks
            if existing := self._existing(key):
                return existing
            raise StorageUnavailable(
                f"Another writer stored {self._uri(key)}, and it was deleted meanwhile. It is tried again."
            ) from None
        return PutResult(size=upload.size, sha256=upload.sha256, created=True, uri=self._uri(key))

    def _existing(self, key: str) -> PutResult | None:
        """What `put` answers when the key already holds a blob; None when it holds none."""
        try:
            info = self.head(key)
        except ObjectNotFound:
            return None
        return PutResult(size=info.size, sha256=info.checksums.get("sha256"), created=False, uri=self._uri(key))

    def head(self, key: str) -> ObjectInfo:
        """Size, content type, sha256 (also the md5, where another tool stored one) and metadata, in one request."""
        check_key(key)
        with translated(f"looking for {self._uri(key)}"):
            return self._info(key, self._blob(key).get_blob_properties())

    def get(self, key: str, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        """One request for each MiB; the first is made before this method returns."""
        check_key(key)
        if end is not None and end <= start:
            self.head(key)
            return iter(())
        # A whole blob is read without a range: to a range from 0, Azure answers 416 when the blob is empty.
        offset = None if start == 0 and end is None else start
        try:
            with translated(f"reading {self._uri(key)}"):
                download = self._blob(key).download_blob(offset=offset, length=None if end is None else end - start)
        except RangeBehindEnd:
            return iter(())
        return _pieces(download.chunks(), f"reading {self._uri(key)}")

    def delete(self, key: str) -> None:
        """Delete the blob, if there is one. `StoragePermissionError` under a legal hold or an immutability policy."""
        check_key(key)
        with suppress(ObjectNotFound), translated(f"deleting {self._uri(key)}"):
            self._blob(key).delete_blob(delete_snapshots="include")

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        """The blobs whose keys start with `prefix`; each page is requested when the iteration reaches it."""
        full_prefix = self._prefix + prefix
        with translated(f"listing az://{self._container_name}/{full_prefix}"):
            for item in self._container.list_blobs(name_starts_with=full_prefix, include=["metadata"]):
                # Accounts with hierarchical namespace list their folders as blobs:
                # https://learn.microsoft.com/azure/storage/blobs/data-lake-storage-known-issues
                if (item.metadata or {}).get("hdi_isfolder") != "true":
                    yield self._info(item.name[len(self._prefix) :], item)

    def signed_url(self, key: str, expires_in: int) -> str | None:
        """A URL with a SAS, signed by the account's key or, for an identity, by a key that Azure gives for seven days.

        None where the credentials are themselves a SAS, which cannot sign another one.
        """
        check_key(key)
        expiry = self._clock() + timedelta(seconds=max(1, min(expires_in, LONGEST_URL)))
        signing_key = self._signing_key(expiry)
        return f"{self._uri(key)}?{_sas(self._blob(key), expiry, signing_key)}" if signing_key else None

    def _signing_key(self, expiry: datetime) -> dict[str, Any] | None:
        credential = self._service.credential
        if key := getattr(credential, "account_key", None):
            return {"account_key": key}
        if not hasattr(credential, "get_token"):
            return None
        start = self._clock() - timedelta(minutes=15)  # Azure's clock may be behind ours
        with translated("asking for a key to sign URLs with"):
            return {"user_delegation_key": self._service.get_user_delegation_key(start, expiry)}

    def check(self) -> None:
        """Try the rights that archiving needs: to write, read and list. Leaves nothing visible.

        A block that is never committed makes no blob; Azure deletes the block within a week.
        """
        blob = self._blob(CHECK_KEY)
        with translated(f"checking az://{self._container_name}"):
            blob.stage_block("0" * 23, b"-", validate_content=True)
            next(self._container.list_blobs(name_starts_with=self._prefix + CHECK_KEY, results_per_page=1), None)
        with suppress(ObjectNotFound):
            self.head(CHECK_KEY)

    def close(self) -> None:
        """Close the connection pool, and the credential where it has a connection pool of its own."""
        self._service.close()
        close = getattr(self._service.credential, "close", None)
        if close:
            close()

    def _blob(self, key: str) -> BlobClient:
        return self._container.get_blob_client(self._prefix + key)

    def _uri(self, key: str) -> str:
        return self._blob(key).url.partition("?")[0]  # the query is a secret where the credentials are a SAS

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
            uri=self._uri(key),
        )


def _pieces(chunks: Iterator[bytes], doing: str) -> Iterator[bytes]:
    with translated(doing):
        yield from chunks


def _sas(blob: BlobClient, expiry: datetime, signing_key: dict[str, Any]) -> str:
    from azure.storage.blob import BlobSasPermissions, generate_blob_sas

    return generate_blob_sas(
        account_name=blob.account_name or "",
        container_name=blob.container_name,
        blob_name=blob.blob_name,
        permission=BlobSasPermissions(read=True),
        expiry=expiry,
        protocol="https" if blob.scheme == "https" else None,
        **signing_key,
    )


def _parse_url(url: str) -> tuple[str, str]:
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
        raise StorageConfigurationError(f"No blob can have the prefix in STORAGE_URL. {error}") from None
    return parts.netloc, prefix
