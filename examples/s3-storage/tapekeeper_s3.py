"""Keeps recordings in Amazon S3, or in any store that speaks its protocol: `STORAGE_URL=s3://bucket/prefix`.

A plugin for Tapekeeper that imports nothing of Tapekeeper. A short recording is stored by one PutObject, a longer
recording by a multipart upload with one part in memory at a time. The last request of each carries `If-None-Match: *`,
so that the first writer of a key wins, and a checksum of the whole object, so that S3 refuses bytes that were changed
on the way.
"""

from __future__ import annotations

import base64
import hashlib
import logging
import re
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import boto3
import pluggy
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, ParamValidationError
from botocore.exceptions import NoCredentialsError as NoCredentials

hookimpl = pluggy.HookimplMarker("tapekeeper")
log = logging.getLogger(__name__)

# The smallest size that S3 accepts for a part, except the last. With at most 10,000 parts, an object has up to 48 GiB.
# https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html
PART = 5 * 1024 * 1024
PIECE = 1024 * 1024  # the size of the pieces that `get` gives
WEEK = 7 * 24 * 3600  # seconds: the longest life of a signed URL

_SEGMENT = r"[A-Za-z0-9]([A-Za-z0-9!_.=()'-]*[A-Za-z0-9!_=()'-])?"
_KEY = re.compile(f"{_SEGMENT}(/{_SEGMENT})*")


@hookimpl
def register_storage_backends() -> dict[str, Any]:
    return {"s3": S3Storage}


# --- Errors: Tapekeeper reads `retryable` and `blocked`, and shows the message ---------------------------------------


class S3Error(Exception):
    """S3 cannot do it now; a later attempt may succeed."""

    retryable = True
    blocked = False


class S3Misconfigured(S3Error):
    """A person must correct something: credentials, rights, a missing bucket."""

    blocked = True


class ObjectNotFound(S3Error):
    """No object under this key."""

    retryable = False


class InvalidKey(S3Error):
    """A key that not every store can keep unchanged."""

    retryable = False


# https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html
_OBJECT_MISSING = {"404", "NoSuchKey", "NotFound"}
_KEY_TAKEN = {"412", "PreconditionFailed"}
_RANGE_BEHIND_THE_END = {"416", "InvalidRange"}
_ADVICE = {
    "NoSuchBucket": "Create the bucket, or correct STORAGE_URL.",
    "AccessDenied": "Give these credentials the rights that README.md lists; an object lock refuses too.",
    "403": "Check the credentials and their rights: README.md lists what is needed.",
    "AllAccessDisabled": "Ask AWS why the account's access is disabled.",
    "AccountProblem": "Ask AWS what is wrong with the account.",
    "InvalidAccessKeyId": "Correct AWS_ACCESS_KEY_ID.",
    "SignatureDoesNotMatch": "Correct AWS_SECRET_ACCESS_KEY.",
    "ExpiredToken": "Renew AWS_SESSION_TOKEN, or use credentials that renew themselves.",
    "InvalidToken": "Correct AWS_SESSION_TOKEN.",
    "RequestTimeTooSkewed": "Set this machine's clock.",
    "PermanentRedirect": "Set AWS_REGION to the bucket's region.",
    "301": "Set AWS_REGION to the bucket's region.",
    "AuthorizationHeaderMalformed": "Set AWS_REGION to the bucket's region.",
    "InvalidBucketName": "Correct the bucket's name in STORAGE_URL.",
    "InvalidObjectState": "The object is in an archive class: restore it first, and keep recordings out of Glacier.",
    "NotImplemented": "This store does not know conditional writes or checksums: it cannot be used safely.",
    "QuotaExceeded": "Raise the store's quota or free some space.",
}


@contextmanager
def _translated(what: str) -> Iterator[None]:
    """Turn the errors of boto3 into the errors above. Never read the source inside: its errors must pass unchanged."""
    try:
        yield
    except ClientError as error:
        code = str(error.response.get("Error", {}).get("Code", ""))
        message = error.response.get("Error", {}).get("Message", "")
        if code in _OBJECT_MISSING:
            raise ObjectNotFound(f"{what} does not exist.") from error
        if code in _ADVICE:
            raise S3Misconfigured(f"{what}: S3 says {code} {message}. {_ADVICE[code]}") from error
        raise S3Error(f"{what}: S3 says {code} {message}.") from error
    except NoCredentials as error:
        raise S3Misconfigured(
            f"{what}: there are no AWS credentials. Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or use a role."
        ) from error
    except ParamValidationError as error:
        raise S3Misconfigured(f"{what}: {error}. Correct STORAGE_URL.") from error
    except BotoCoreError as error:
        raise S3Error(f"{what}: {error}") from error


# --- The backend -----------------------------------------------------------------------------------------------------


class S3Storage:
    """Recordings below `s3://bucket/prefix`. Safe for threads, as boto3's clients are."""

    def __init__(self, client: Any, bucket: str, prefix: str = "") -> None:
        self._client = client
        self._bucket = bucket
        self._prefix = f"{prefix.strip('/')}/" if prefix.strip("/") else ""

    @classmethod
    def from_url(cls, url: str, env: Mapping[str, str]) -> S3Storage:
        """Make one from `s3://bucket/prefix`; `env` holds credentials, region and endpoint under the names of AWS.

        What `env` lacks, boto3 looks up in its own places: config files, container and instance roles.
        """
        parts = urlsplit(url)
        if not parts.netloc or parts.query or parts.fragment or "@" in parts.netloc:
            raise S3Misconfigured(f"STORAGE_URL {url.partition('@')[2] or url!r} is wrong: write s3://bucket/prefix")
        endpoint = env.get("AWS_ENDPOINT_URL_S3") or env.get("AWS_ENDPOINT_URL") or None
        with _translated(f"s3://{parts.netloc}"):
            session = boto3.Session(
                aws_access_key_id=env.get("AWS_ACCESS_KEY_ID") or None,
                aws_secret_access_key=env.get("AWS_SECRET_ACCESS_KEY") or None,
                aws_session_token=env.get("AWS_SESSION_TOKEN") or None,
                region_name=env.get("AWS_REGION") or env.get("AWS_DEFAULT_REGION") or None,
                profile_name=env.get("AWS_PROFILE") or None,
            )
            config = Config(
                signature_version="s3v4",
                # Stores other than Amazon's seldom have a host name for each bucket.
                s3={"addressing_style": "path" if endpoint else "auto"},
                retries={"mode": "standard", "total_max_attempts": 3},
                connect_timeout=5,
                read_timeout=60,
                max_pool_connections=32,
            )
            return cls(session.client("s3", endpoint_url=endpoint, config=config), parts.netloc, parts.path)

    def __repr__(self) -> str:
        return f"S3Storage({self._uri('')!r})"

    def put(self, key: str, source: Any, *, content_type: str, metadata: Mapping[str, str]) -> dict[str, Any]:
        """Store the source under `key`, or leave no trace. When the key holds an object, the source is not opened."""
        if not _KEY.fullmatch(key) or len(key) > 512 or max(map(len, key.split("/"))) > 200:
            raise InvalidKey(f"Not every store can keep the key {key[:80]!r} unchanged.")
        if existing := self._existing(key):
            return existing
        labels = {"ContentType": content_type, "Metadata": dict(metadata)}
        with source.open() as stream:
            # `read` gives fewer bytes than it was asked for only at the end. The list alone holds the first part, and
            # `_send_parts` empties it: a variable here would keep that part in memory during the whole upload.
            first = [stream.read(PART)]
            if len(first[0]) < PART:
                stored = self._put_whole(key, first[0], labels)
            else:
                stored = self._put_parts(key, first, stream, labels)
        if stored:
            return stored
        if existing := self._existing(key):
            return existing
        raise S3Error(f"Another writer stored {self._uri(key)}, and it was deleted meanwhile. It is tried again.")

    def head(self, key: str) -> dict[str, Any]:
        """Size, content type, checksums and metadata of the object, as S3 knows them."""
        with _translated(self._uri(key)):
            answer = self._client.head_object(**self._at(key), ChecksumMode="ENABLED")
        metadata = dict(answer.get("Metadata", {}))
        # The checksum that S3 verified; else, for a store that keeps none, the one that `put` wrote into the metadata.
        sha256 = _hex(answer.get("ChecksumSHA256")) or metadata.get("sha256")
        metadata.pop("sha256", None)
        return {
            "key": key,
            "size": answer["ContentLength"],
            "content_type": answer.get("ContentType"),
            "checksums": {"sha256": sha256} if sha256 else {},
            "metadata": metadata,
            "uri": self._uri(key),
        }

    def get(self, key: str, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        """The bytes from `start` up to `end`, exclusive, in pieces of 1 MiB."""
        if end is not None and end <= start:
            self.head(key)  # no byte is asked for, but a missing key is an error all the same
            return
        # In HTTP the end of a range is inclusive. A whole object is read without a range: only then is the checksum
        # checked that S3 keeps of it.
        span = {} if start == 0 and end is None else {"Range": f"bytes={start}-{'' if end is None else end - 1}"}
        with _translated(self._uri(key)):
            try:
                body = self._client.get_object(**self._at(key), **span)["Body"]
            except ClientError as error:
                if error.response["Error"]["Code"] in _RANGE_BEHIND_THE_END:
                    return
                raise
            with body:
                yield from body.iter_chunks(PIECE)

    def delete(self, key: str) -> None:
        """Remove the object; a missing one is fine."""
        with _translated(self._uri(key)):
            self._client.delete_object(**self._at(key))

    def list(self, prefix: str = "") -> Iterator[dict[str, Any]]:
        """Every object whose key starts with `prefix`; S3 sorts them by the bytes of their keys."""
        pages = self._client.get_paginator("list_objects_v2")
        with _translated(self._uri(prefix)):
            for page in pages.paginate(Bucket=self._bucket, Prefix=self._prefix + prefix):
                for entry in page.get("Contents", []):
                    key = entry["Key"].removeprefix(self._prefix)
                    yield {"key": key, "size": entry["Size"], "uri": self._uri(key)}

    def signed_url(self, key: str, expires_in: int) -> str | None:
        """A URL that serves the object for `expires_in` seconds, a week at most; None without credentials to sign."""
        try:
            with _translated(self._uri(key)):
                seconds = max(1, min(expires_in, WEEK))
                return str(self._client.generate_presigned_url("get_object", Params=self._at(key), ExpiresIn=seconds))
        except S3Misconfigured:
            return None

    def check(self) -> None:
        """Raise, with what to do, when the bucket cannot be reached with these credentials."""
        try:
            with _translated(f"s3://{self._bucket}"):
                self._client.head_bucket(Bucket=self._bucket)
        except ObjectNotFound as error:
            raise S3Misconfigured(f"s3://{self._bucket} does not exist. {_ADVICE['NoSuchBucket']}") from error

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    # --- uploads ---

    def _put_whole(self, key: str, data: bytes, labels: dict[str, Any]) -> dict[str, Any] | None:
        """Store it with one request. None when another writer was first with this key."""
        digest = hashlib.sha256(data)
        labels = labels | {"Metadata": labels["Metadata"] | {"sha256": digest.hexdigest()}}
        try:
            with _translated(self._uri(key)), _lost_race():
                self._client.put_object(
                    **self._at(key), **labels, Body=data, IfNoneMatch="*", ChecksumSHA256=_base64(digest.digest())
                )
        except _KeyTaken:
            return None
        return {"size": len(data), "sha256": digest.hexdigest(), "created": True, "uri": self._uri(key)}

    def _put_parts(self, key: str, first: list[bytes], stream: Any, labels: dict[str, Any]) -> dict[str, Any] | None:
        """A multipart upload; takes its first part out of `first`. None when another writer was first with this key."""
        with _translated(self._uri(key)):
            # A CRC32 of the whole object, not of each part: S3 can check it once it has the last part.
            # https://docs.aws.amazon.com/AmazonS3/latest/userguide/checking-object-integrity-upload.html
            created = self._client.create_multipart_upload(
                **self._at(key), **labels, ChecksumAlgorithm="CRC32", ChecksumType="FULL_OBJECT"
            )
        upload = self._at(key) | {"UploadId": created["UploadId"]}
        try:
            return self._send_parts(key, upload, first, stream)
        except _KeyTaken:
            self._abort(upload)
            return None
        except BaseException:
            self._abort(upload)
            raise

    def _send_parts(self, key: str, upload: dict[str, Any], first: list[bytes], stream: Any) -> dict[str, Any]:
        size, crc, digest, parts = 0, 0, hashlib.sha256(), []
        while piece := first.pop() if first else stream.read(PART):
            with _translated(self._uri(key)):
                answer = self._client.upload_part(
                    **upload, PartNumber=len(parts) + 1, Body=piece, ChecksumAlgorithm="CRC32"
                )
            part = {"PartNumber": len(parts) + 1, "ETag": answer["ETag"]}
            if "ChecksumCRC32" in answer:
                part["ChecksumCRC32"] = answer["ChecksumCRC32"]
            parts.append(part)
            size, crc = size + len(piece), zlib.crc32(piece, crc)
            digest.update(piece)
            del piece  # before the next part is read, or two parts would be in memory
        with _translated(self._uri(key)), _lost_race():
            self._client.complete_multipart_upload(
                **upload,
                MultipartUpload={"Parts": parts},
                IfNoneMatch="*",
                ChecksumCRC32=_base64(crc.to_bytes(4, "big")),
                ChecksumType="FULL_OBJECT",
                MpuObjectSize=size,
            )
        return {"size": size, "sha256": digest.hexdigest(), "created": True, "uri": self._uri(key)}

    def _abort(self, upload: dict[str, Any]) -> None:
        """Delete the parts, which S3 bills until then. The parts of a killed process are left to the lifecycle rule."""
        try:
            self._client.abort_multipart_upload(**upload)
        except (ClientError, BotoCoreError) as error:
            log.warning("An upload could not be aborted; the lifecycle rule of README.md removes its parts. %s", error)

    def _existing(self, key: str) -> dict[str, Any] | None:
        """What `put` answers when the key already holds an object; None when it holds none."""
        try:
            info = self.head(key)
        except ObjectNotFound:
            return None
        return {
            "size": info["size"],
            "sha256": info["checksums"].get("sha256"),
            "created": False,
            "uri": info["uri"],
        }

    def _at(self, key: str) -> dict[str, Any]:
        return {"Bucket": self._bucket, "Key": self._prefix + key}

    def _uri(self, key: str) -> str:
        return f"s3://{self._bucket}/{self._prefix}{key}"


class _KeyTaken(Exception):
    """Another writer stored an object under this key first."""


@contextmanager
def _lost_race() -> Iterator[None]:
    """Around the one request that makes an object visible: raises `_KeyTaken` when another writer was first."""
    try:
        yield
    except ClientError as error:
        if str(error.response.get("Error", {}).get("Code", "")) in _KEY_TAKEN:
            raise _KeyTaken from error
        raise


def _base64(digest: bytes) -> str:
    return base64.b64encode(digest).decode()


def _hex(encoded: str | None) -> str | None:
    """The base64 of S3 as hex; None for a checksum made of the parts' checksums, which ends in their number."""
    return base64.b64decode(encoded).hex() if encoded and "-" not in encoded else None
