"""Google Cloud Storage: `gs://bucket/prefix`, in the terms of Tapekeeper's storage backends.

Nothing of Vonage, of the catalogue or of the settings stands here. The SDK is imported when it is used, never before:
this module must import without it.
"""
# Google's libraries have types in part only.
# mypy: allow-untyped-calls

from __future__ import annotations

import base64
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from datetime import timedelta
from functools import partial
from typing import Any, Self
from urllib.parse import quote, urlsplit

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

from .credentials import SCOPE, find_credentials
from .errors import Occupied, translated, worth_waiting
from .upload import PIECE, TIMEOUT, Upload, exchange

LONGEST_URL = 7 * 24 * 3600  # https://cloud.google.com/storage/docs/access-control/signed-urls


class GoogleCloudStorage:
    """A bucket, or the part of it under a prefix. See `recordings.model.StorageBackend` for what each method promises.

    `connect` gives the SDK's client and an authorised session; it is called at the first use, since it may have to ask
    Google's metadata server. A request is tried again from `first_delay` seconds on, for `patience` seconds in all.
    """

    def __init__(
        self,
        connect: Callable[[], tuple[Any, Any]],
        bucket: str,
        prefix: str = "",
        *,
        first_delay: float = 1.0,
        patience: float = 60.0,
    ) -> None:
        self._connect = connect
        self._opened: tuple[Any, Any] | None = None
        self._lock = threading.Lock()
        self._bucket = bucket
        self._prefix = f"{prefix}/" if prefix else ""
        self._delays = (first_delay, patience)

    def __repr__(self) -> str:
        return f"GoogleCloudStorage('gs://{self._bucket}/{self._prefix}')"

    @classmethod
    def from_url(cls, url: str, env: Mapping[str, str], *, first_delay: float = 1.0, patience: float = 60.0) -> Self:
        """`gs://bucket` or `gs://bucket/prefix`; credentials and `STORAGE_EMULATOR_HOST` come from `env`."""
        bucket, prefix = _bucket_and_prefix(url)
        emulator = env.get("STORAGE_EMULATOR_HOST", "").strip().rstrip("/")
        if emulator and "://" not in emulator:
            emulator = f"http://{emulator}"
        connect = partial(open_clients, None if emulator else find_credentials(env), emulator)
        return cls(connect, bucket, prefix, first_delay=first_delay, patience=patience)

    def put(self, key: str, source: AudioSource, *, content_type: str, metadata: Mapping[str, str]) -> PutResult:
        """Create-only. Google checks the crc32c of what was sent, and we check Google's own.

        No sha256: Google keeps none of a stream, so here it would be our word and not the store's.
        """
        check_key(key)
        if there := self._find(key):
            return _already(there)
        blob = self._blob(key)
        blob.metadata = dict(metadata)
        with source.open() as stream:
            try:
                stored = self._upload(key, blob, stream, content_type)
            except Occupied:
                return self._winner(key)
        return PutResult(size=int(stored["size"]), sha256=None, created=True, uri=self._uri(key))

    def _upload(self, key: str, blob: Any, stream: AudioStream, content_type: str) -> dict[str, Any]:
        _, http = self._sdk()
        # Whoever creates the object first wins: https://cloud.google.com/storage/docs/request-preconditions#special-case
        with translated(f"starting to store {self._uri(key)}", missing=StorageConfigurationError):
            session = blob.create_resumable_upload_session(
                content_type=content_type, if_generation_match=0, timeout=TIMEOUT, checksum=None, retry=self._retry()
            )
        upload = Upload(http, session, self._retry(), f"storing {self._uri(key)}")
        try:
            stored = upload.run(stream)
        except BaseException:
            upload.cancel()
            raise
        self._verify(key, stored, upload)
        return stored

    def _verify(self, key: str, stored: Mapping[str, Any], upload: Upload) -> None:
        crc32c = base64.b64encode(upload.crc32c.digest()).decode()
        if int(stored["size"]) == upload.read and stored["crc32c"] == crc32c:
            return
        # Only this very generation: what another writer may have put there since is not ours to delete.
        fate = "They could not be deleted: delete them, or they pass for the recording."
        with suppress(StorageError), translated("deleting a spoilt object"):
            self._blob(key).delete(if_generation_match=int(stored["generation"]), timeout=TIMEOUT, retry=self._retry())
            fate = "They were deleted; it is tried again."
        raise ChecksumMismatch(
            f"Google Cloud Storage holds other bytes than were sent as {self._uri(key)}: {stored['size']} bytes with "
            f"crc32c {stored['crc32c']}, sent were {upload.read} with {crc32c}. {fate}"
        )

    def head(self, key: str) -> ObjectInfo:
        """Size, content type, md5, crc32c and metadata, in one request."""
        check_key(key)
        blob = self._blob(key)
        with translated(f"looking for {self._uri(key)}"):
            blob.reload(timeout=TIMEOUT, retry=self._retry())
        return self._info(key, blob)

    def _find(self, key: str) -> ObjectInfo | None:
        try:
            return self.head(key)
        except ObjectNotFound:
            return None

    def _winner(self, key: str) -> PutResult:
        if there := self._find(key):
            return _already(there)
        raise StorageUnavailable(f"{self._uri(key)} was there and was deleted meanwhile. It is tried again.")

    def get(self, key: str, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        """One request, opened before this returns; pieces of at most 256 KiB."""
        check_key(key)
        if end is not None and end <= start:
            self.head(key)
            return iter(())
        pieces = self._pieces(key, start, end)
        next(pieces)  # runs to the answer: errors come now, and closing the iterator closes the connection
        return pieces

    def _pieces(self, key: str, start: int, end: int | None) -> Iterator[bytes]:
        client, http = self._sdk()
        name = quote(self._prefix + key, safe="")
        url = f"{client.api_endpoint}/download/storage/v1/b/{self._bucket}/o/{name}?alt=media"
        # Without this, objects stored as gzip come unpacked: https://cloud.google.com/storage/docs/transcoding
        headers = {"Accept-Encoding": "identity"}
        if start or end is not None:
            headers["Range"] = f"bytes={start}-{'' if end is None else end - 1}"
        with translated(f"reading {self._uri(key)}"):
            response = self._retry()(exchange)(http, "GET", url, headers=headers, stream=True, fine=(416,))
            with response:
                yield b""
                if response.status_code != 416:  # 416: the range lies behind the end
                    yield from response.iter_content(PIECE)

    def delete(self, key: str) -> None:
        """Missing is fine; under a hold or a retention policy it is a `StoragePermissionError`."""
        check_key(key)
        with suppress(ObjectNotFound), translated(f"deleting {self._uri(key)}"):
            self._blob(key).delete(timeout=TIMEOUT, retry=self._retry())

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        """In pages, as the iteration goes on."""
        client, _ = self._sdk()
        wanted = self._prefix + prefix
        with translated(f"listing gs://{self._bucket}/{wanted}", missing=StorageConfigurationError):
            for blob in client.list_blobs(self._bucket, prefix=wanted, timeout=TIMEOUT, retry=self._retry()):
                if not blob.name.endswith("/"):  # the web console's way to show an empty folder
                    yield self._info(blob.name[len(self._prefix) :], blob)

    def signed_url(self, key: str, expires_in: int) -> str | None:
        """A V4 signed URL for at most seven days, or None where the credentials hold no key to sign with."""
        from google.auth.credentials import Signing

        check_key(key)
        _, http = self._sdk()
        if not isinstance(http.credentials, Signing):
            return None
        with translated(f"signing a URL for {self._uri(key)}"):
            lifetime = timedelta(seconds=max(1, min(expires_in, LONGEST_URL)))
            url: str = self._blob(key).generate_signed_url(version="v4", expiration=lifetime, method="GET")
        return url

    def check(self) -> None:
        """Try what archiving needs, to read, list and create, and leave nothing: an upload is begun and cancelled."""
        _, http = self._sdk()
        blob = self._blob("tapekeeper-check")
        with translated(f"checking gs://{self._bucket}", missing=StorageConfigurationError):
            session = blob.create_resumable_upload_session(timeout=TIMEOUT, checksum=None, retry=self._retry())
            Upload(http, session, self._retry(), "checking").cancel()
        # Without the right to list, a missing object is 403 and not 404, and nothing new could ever be stored:
        # https://cloud.google.com/storage/docs/access-control/iam-permissions#object_permissions
        self._find("tapekeeper-check")

    def close(self) -> None:
        """Close both connection pools, if they were ever opened."""
        for pool in self._opened or ():
            pool.close()

    def _sdk(self) -> tuple[Any, Any]:
        with self._lock:
            if self._opened is None:
                with translated(f"finding credentials for gs://{self._bucket}"):
                    self._opened = self._connect()
            return self._opened

    def _blob(self, key: str) -> Any:
        client, _ = self._sdk()
        return client.bucket(self._bucket).blob(self._prefix + key)

    def _retry(self) -> Any:
        from google.api_core.retry import Retry

        first, patience = self._delays
        return Retry(predicate=worth_waiting, initial=first, maximum=10, timeout=patience)

    def _uri(self, key: str) -> str:
        return f"gs://{self._bucket}/{self._prefix}{key}"

    def _info(self, key: str, blob: Any) -> ObjectInfo:
        hashes = {"md5": blob.md5_hash, "crc32c": blob.crc32c}
        return ObjectInfo(
            key=key,
            size=blob.size or 0,
            content_type=blob.content_type,
            checksums={name: base64.b64decode(value).hex() for name, value in hashes.items() if value},
            metadata=dict(blob.metadata or {}),
            uri=self._uri(key),
        )


def _already(there: ObjectInfo) -> PutResult:
    return PutResult(size=there.size, sha256=None, created=False, uri=there.uri or "")


def _bucket_and_prefix(url: str) -> tuple[str, str]:
    parts = urlsplit(url)
    if not parts.netloc or parts.query or parts.fragment or "@" in parts.netloc or ":" in parts.netloc:
        raise StorageConfigurationError("STORAGE_URL for Google Cloud Storage is gs://bucket or gs://bucket/prefix.")
    prefix = parts.path.strip("/")
    try:
        if prefix:
            check_key(prefix)
    except InvalidKey as error:
        raise StorageConfigurationError(f"STORAGE_URL has a prefix that no object may have. {error}") from None
    return parts.netloc, prefix


def open_clients(credentials: Any, emulator: str) -> tuple[Any, Any]:
    """The SDK's client, and a session of our own for what its public interface cannot do: chunks, and one long GET.

    Without credentials: none for an emulator, else what Google finds by itself, which may take a request.
    """
    import google.auth
    from google.auth.credentials import AnonymousCredentials
    from google.auth.transport.requests import AuthorizedSession
    from google.cloud.storage import Client

    if credentials is None:
        credentials = AnonymousCredentials() if emulator else google.auth.default(scopes=[SCOPE])[0]
    options = {"api_endpoint": emulator} if emulator else None
    return Client(project=None, credentials=credentials, client_options=options), AuthorizedSession(credentials)
