"""The storage backend for Google Cloud Storage: `STORAGE_URL=gs://bucket/prefix`.

Nothing here knows Vonage, the catalogue or the settings. The SDK is imported inside the functions that use it, so that
this module imports without it.
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
from .errors import KeyTaken, is_worth_a_retry, translated
from .upload import PIECE, TIMEOUT, Upload, send_request

CHECK_KEY = "tapekeeper-check"  # the key that `check` tries; it never holds an object
LONGEST_URL = 7 * 24 * 3600  # seconds: https://cloud.google.com/storage/docs/access-control/signed-urls


class GoogleCloudStorage:
    """A bucket, or the part of it below a prefix. `recordings.storage.StorageBackend` says what each method promises.

    `connect` gives the SDK's client and an authorised session. It is called at the first use, because it may have to
    ask Google's metadata server. A failed request is tried again after `first_delay` seconds and later, until
    `retry_for` seconds are over.
    """

    def __init__(
        self,
        connect: Callable[[], tuple[Any, Any]],
        bucket: str,
        prefix: str = "",
        *,
        first_delay: float = 1.0,
        retry_for: float = 60.0,
    ) -> None:
        self._connect = connect
        self._opened: tuple[Any, Any] | None = None
        self._lock = threading.Lock()
        self._bucket = bucket
        self._prefix = f"{prefix}/" if prefix else ""
        self._delays = (first_delay, retry_for)

    def __repr__(self) -> str:
        return f"GoogleCloudStorage('gs://{self._bucket}/{self._prefix}')"

    @classmethod
    def from_url(cls, url: str, env: Mapping[str, str], *, first_delay: float = 1.0, retry_for: float = 60.0) -> Self:
        """`gs://bucket` or `gs://bucket/prefix`; credentials and `STORAGE_EMULATOR_HOST` come from `env`."""
        bucket, prefix = _parse_url(url)
        emulator = env.get("STORAGE_EMULATOR_HOST", "").strip().rstrip("/")
        if emulator and "://" not in emulator:
            emulator = f"http://{emulator}"
        connect = partial(open_clients, None if emulator else find_credentials(env), emulator)
        return cls(connect, bucket, prefix, first_delay=first_delay, retry_for=retry_for)

    def put(self, key: str, source: AudioSource, *, content_type: str, metadata: Mapping[str, str]) -> PutResult:
        """Store the source, unless the key already holds an object. Google and we both check the crc32c.

        The answer has no sha256: Google computes none, so it would be our word and not the store's.
        """
        check_key(key)
        if existing := self._existing(key):
            return existing
        blob = self._blob(key)
        blob.metadata = dict(metadata)
        with source.open() as stream:
            try:
                stored = self._upload(key, blob, stream, content_type)
            except KeyTaken:
                if existing := self._existing(key):
                    return existing
                raise StorageUnavailable(
                    f"Another writer stored {self._uri(key)}, and it was deleted meanwhile. It is tried again."
                ) from None
        return PutResult(size=int(stored["size"]), sha256=None, created=True, uri=self._uri(key))

    def _existing(self, key: str) -> PutResult | None:
        """What `put` answers when the key already holds an object; None when it holds none."""
        try:
            info = self.head(key)
        except ObjectNotFound:
            return None
        return PutResult(size=info.size, sha256=None, created=False, uri=self._uri(key))

    def _upload(self, key: str, blob: Any, stream: AudioStream, content_type: str) -> dict[str, Any]:
        _, http = self._sdk()
        # Only the first writer creates the object: https://cloud.google.com/storage/docs/request-preconditions#special-case
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
        if int(stored["size"]) == upload.size and stored["crc32c"] == crc32c:
            return
        # Only this very generation is deleted: what another writer may have stored since is not ours to delete.
        outcome = "They could not be deleted: delete them, or they pass for the recording."
        with suppress(StorageError), translated("deleting a spoilt object"):
            self._blob(key).delete(if_generation_match=int(stored["generation"]), timeout=TIMEOUT, retry=self._retry())
            outcome = "They were deleted; it is tried again."
        raise ChecksumMismatch(
            f"Google Cloud Storage holds other bytes than were sent as {self._uri(key)}: {stored['size']} bytes with "
            f"crc32c {stored['crc32c']}, but {upload.size} bytes with {crc32c} were sent. {outcome}"
        )

    def head(self, key: str) -> ObjectInfo:
        """Size, content type, md5, crc32c and metadata, in one request."""
        check_key(key)
        blob = self._blob(key)
        with translated(f"looking for {self._uri(key)}"):
            blob.reload(timeout=TIMEOUT, retry=self._retry())
        return self._info(key, blob)

    def get(self, key: str, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        """One request, whose answer has begun when this method returns; pieces of at most 256 KiB."""
        check_key(key)
        if end is not None and end <= start:
            self.head(key)
            return iter(())
        pieces = self._pieces(key, start, end)
        next(pieces)  # waits for the answer: its errors are raised here, and closing the iterator closes the connection
        return pieces

    def _pieces(self, key: str, start: int, end: int | None) -> Iterator[bytes]:
        client, http = self._sdk()
        name = quote(self._prefix + key, safe="")
        url = f"{client.api_endpoint}/download/storage/v1/b/{self._bucket}/o/{name}?alt=media"
        # Without this, Google unpacks objects that are stored as gzip: https://cloud.google.com/storage/docs/transcoding
        headers = {"Accept-Encoding": "identity"}
        if start or end is not None:
            headers["Range"] = f"bytes={start}-{'' if end is None else end - 1}"
        with translated(f"reading {self._uri(key)}"):
            response = self._retry()(send_request)(http, "GET", url, headers=headers, stream=True, accepted=(416,))
            with response:
                yield b""
                if response.status_code != 416:  # 416: the range begins behind the end
                    yield from response.iter_content(PIECE)

    def delete(self, key: str) -> None:
        """Delete the object, if there is one. `StoragePermissionError` under a hold or a retention policy."""
        check_key(key)
        with suppress(ObjectNotFound), translated(f"deleting {self._uri(key)}"):
            self._blob(key).delete(timeout=TIMEOUT, retry=self._retry())

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        """The objects whose keys start with `prefix`; each page is requested when the iteration reaches it."""
        client, _ = self._sdk()
        full_prefix = self._prefix + prefix
        with translated(f"listing gs://{self._bucket}/{full_prefix}", missing=StorageConfigurationError):
            for blob in client.list_blobs(self._bucket, prefix=full_prefix, timeout=TIMEOUT, retry=self._retry()):
                if not blob.name.endswith("/"):  # Google's web console marks an empty folder by such an object
                    yield self._info(blob.name[len(self._prefix) :], blob)

    def signed_url(self, key: str, expires_in: int) -> str | None:
        """A V4 signed URL for at most seven days; None where the credentials have no key to sign with."""
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
        """Try the rights that archiving needs: to create, read and list. Leaves nothing: the upload is cancelled."""
        _, http = self._sdk()
        blob = self._blob(CHECK_KEY)
        with translated(f"checking gs://{self._bucket}", missing=StorageConfigurationError):
            session = blob.create_resumable_upload_session(timeout=TIMEOUT, checksum=None, retry=self._retry())
            Upload(http, session, self._retry(), "checking").cancel()
        # Without the right to list, Google answers 403 and not 404 for a missing object, and no `put` could succeed:
        # https://cloud.google.com/storage/docs/access-control/iam-permissions#object_permissions
        with suppress(ObjectNotFound):
            self.head(CHECK_KEY)

    def close(self) -> None:
        """Close the connection pools, if they were ever opened."""
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

        first_delay, retry_for = self._delays
        return Retry(predicate=is_worth_a_retry, initial=first_delay, maximum=10, timeout=retry_for)

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


def _parse_url(url: str) -> tuple[str, str]:
    parts = urlsplit(url)
    if not parts.netloc or parts.query or parts.fragment or "@" in parts.netloc or ":" in parts.netloc:
        raise StorageConfigurationError("STORAGE_URL for Google Cloud Storage is gs://bucket or gs://bucket/prefix.")
    prefix = parts.path.strip("/")
    try:
        if prefix:
            check_key(prefix)
    except InvalidKey as error:
        raise StorageConfigurationError(f"No object can have the prefix in STORAGE_URL. {error}") from None
    return parts.netloc, prefix


def open_clients(credentials: Any, emulator: str) -> tuple[Any, Any]:
    """The SDK's client, and a session for requests that its public interface cannot make: chunks, and one long GET.

    When `credentials` is None, an emulator gets none; otherwise Google's library looks for them, perhaps by a request.
    """
    import google.auth
    from google.auth.credentials import AnonymousCredentials
    from google.auth.transport.requests import AuthorizedSession
    from google.cloud.storage import Client

    if credentials is None:
        credentials = AnonymousCredentials() if emulator else google.auth.default(scopes=[SCOPE])[0]
    options = {"api_endpoint": emulator} if emulator else None
    return Client(project=None, credentials=credentials, client_options=options), AuthorizedSession(credentials)
