"""Keeps recordings in Amazon S3, or in any store that speaks its protocol: `STORAGE_URL=s3://bucket/prefix`.

A plugin for Tapekeeper that imports nothing of it. A short recording is one PutObject, a longer one a multipart upload
with one part in memory at a time. Both are committed with `If-None-Match: *`, so that the first writer of a key wins,
and with a checksum of the whole object, so that S3 itself refuses what arrived changed.
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

# The least that S3 takes for any part but the last. With its 10 000 parts that makes objects of 48 GiB.
# https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html
PART = 5 * 1024 * 1024
PIECE = 1024 * 1024
WEEK = 7 * 24 * 3600  # no signed URL lives longer

_SEGMENT = r"[A-Za-z0-9]([A-Za-z0-9!_.=()'-]*[A-Za-z0-9!_=()'-])?"
_KEY = re.compile(f"{_SEGMENT}(/{_SEGMENT})*")


@hookimpl
def register_storage_backends() -> dict[str, Any]:
    return {"s3": S3Storage}


# --- Errors: Tapekeeper reads `retryable`, `blocked` and `retry_after`, and shows the message ------------------------


class S3Error(Exception):
    """S3 cannot do it now: time may help."""

    retryable = True
    blocked = False


class S3Misconfigured(S3Error):
    """A person must mend it: credentials, rights, a missing bucket."""

    blocked = True


class ObjectNotFound(S3Error):
    """No object under this key."""

    retryable = False


class InvalidKey(S3Error):
    """A key that some store would not keep as it is."""

    retryable = False


# https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html
_MISSING = {"404", "NoSuchKey", "NotFound"}
_TAKEN = {"412", "PreconditionFailed"}
_BEHIND_THE_END = {"416", "InvalidRange"}
_MENDS = {
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
def _explained(what: str) -> Iterator[None]:
    """What boto3 raises, as this module's errors. Only our own calls run inside: never the source's."""
    try:
        yield
    except ClientError as error:
        code = str(error.response.get("Error", {}).get("Code", ""))
        message = error.response.get("Error", {}).get("Message", "")
        if code in _MISSING:
            raise ObjectNotFound(f"{what} does not exist.") from error
        if code in _MENDS:
            raise S3Misconfigured(f"{what}: S3 says {code} {message}. {_MENDS[code]}") from error
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
        """Make one from `s3://bucket/prefix`; credentials, region and endpoint under the names that AWS gave them.

        Whatever `env` lacks, boto3 looks up in its own places: config files, container and instance roles.
        """
        parts = urlsplit(url)
        if not parts.netloc or parts.query or parts.fragment or "@" in parts.netloc:
            raise S3Misconfigured(f"STORAGE_URL {url.partition('@')[2] or url!r} is wrong: write s3://bucket/prefix")
        endpoint = env.get("AWS_ENDPOINT_URL_S3") or env.get("AWS_ENDPOINT_URL") or None
        with _explained(f"s3://{parts.netloc}"):
            session = boto3.Session(
                aws_access_key_id=env.get("AWS_ACCESS_KEY_ID") or None,
                aws_secret_access_key=env.get("AWS_SECRET_ACCESS_KEY") or None,
                aws_session_token=env.get("AWS_SESSION_TOKEN") or None,
                region_name=env.get("AWS_REGION") or env.get("AWS_DEFAULT_REGION") or None,
                profile_name=env.get("AWS_PROFILE") or None,
            )
            config = Config(
                signature_version="s3v4",
                # Stores that are not Amazon's seldom have a host name for each bucket.
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
        """Store the source under `key`, or leave no trace. A taken key is described, and the source not opened."""
        if not _KEY.fullmatch(key) or len(key) > 512 or max(map(len, key.split("/"))) > 200:
            raise InvalidKey(f"The key {key[:80]!r} is not one that every store keeps as it is.")
        there = self._found(key)
        if there:
            return there
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
        there = self._found(key)
        if there:
            return there
        raise S3Error(f"{self._uri(key)} was there and was deleted meanwhile. It is tried again.")

    def head(self, key: str) -> dict[str, Any]:
        """What is under `key`, in S3's own words."""
        with _explained(self._uri(key)):
            told = self._client.head_object(**self._at(key), ChecksumMode="ENABLED")
        metadata = dict(told.get("Metadata", {}))
        # What S3 checked; where a store keeps no such checksum, what was written beside the bytes.
        sha256 = _hex(told.get("ChecksumSHA256")) or metadata.get("sha256")
        metadata.pop("sha256", None)
        return {
            "key": key,
            "size": told["ContentLength"],
            "content_type": told.get("ContentType"),
            "checksums": {"sha256": sha256} if sha256 else {},
            "metadata": metadata,
            "uri": self._uri(key),
        }

    def get(self, key: str, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        """The bytes from `start` up to `end`, exclusive, in pieces of 1 MiB."""
        if end is not None and end <= start:
            self.head(key)  # nothing is asked for, but a missing key is missing all the same
            return
        # A range is inclusive in HTTP. The whole object is asked for without one: only then is its checksum checked.
        span = {} if start == 0 and end is None else {"Range": f"bytes={start}-{'' if end is None else end - 1}"}
        with _explained(self._uri(key)):
            try:
                body = self._client.get_object(**self._at(key), **span)["Body"]
            except ClientError as error:
                if error.response["Error"]["Code"] in _BEHIND_THE_END:
                    return
                raise
            with body:
                yield from body.iter_chunks(PIECE)

    def delete(self, key: str) -> None:
        """Remove the object; a missing one is fine."""
        with _explained(self._uri(key)):
            self._client.delete_object(**self._at(key))

    def list(self, prefix: str = "") -> Iterator[dict[str, Any]]:
        """Every object whose key starts with `prefix`; S3 gives them in the order of the keys' bytes."""
        pages = self._client.get_paginator("list_objects_v2")
        with _explained(self._uri(prefix)):
            for page in pages.paginate(Bucket=self._bucket, Prefix=self._prefix + prefix):
                for found in page.get("Contents", []):
                    key = found["Key"].removeprefix(self._prefix)
                    yield {"key": key, "size": found["Size"], "uri": self._uri(key)}

    def signed_url(self, key: str, expires_in: int) -> str | None:
        """A URL that serves the object for so many seconds, a week at most; None without credentials to sign with."""
        try:
            with _explained(self._uri(key)):
                seconds = max(1, min(expires_in, WEEK))
                return str(self._client.generate_presigned_url("get_object", Params=self._at(key), ExpiresIn=seconds))
        except S3Misconfigured:
            return None

    def check(self) -> None:
        """Raise, with what to do, when the bucket cannot be reached with these credentials."""
        try:
            with _explained(f"s3://{self._bucket}"):
                self._client.head_bucket(Bucket=self._bucket)
        except ObjectNotFound as error:
            raise S3Misconfigured(f"s3://{self._bucket} does not exist. {_MENDS['NoSuchBucket']}") from error

    def close(self) -> None:
        """Give the connections back."""
        self._client.close()

    # --- ways in ---

    def _put_whole(self, key: str, data: bytes, labels: dict[str, Any]) -> dict[str, Any] | None:
        """One request. None when the key was taken meanwhile."""
        digest = hashlib.sha256(data)
        labels = labels | {"Metadata": labels["Metadata"] | {"sha256": digest.hexdigest()}}
        try:
            with _explained(self._uri(key)), _lost_race():
                self._client.put_object(
                    **self._at(key), **labels, Body=data, IfNoneMatch="*", ChecksumSHA256=_base64(digest.digest())
                )
        except _Taken:
            return None
        return {"size": len(data), "sha256": digest.hexdigest(), "created": True, "uri": self._uri(key)}

    def _put_parts(self, key: str, first: list[bytes], stream: Any, labels: dict[str, Any]) -> dict[str, Any] | None:
        """A multipart upload; `first` holds its first part, and is emptied. None when the key was taken meanwhile."""
        with _explained(self._uri(key)):
            # CRC32 of the whole object, not of the parts: S3 can check it when the last of them is in.
            # https://docs.aws.amazon.com/AmazonS3/latest/userguide/checking-object-integrity-upload.html
            made = self._client.create_multipart_upload(
                **self._at(key), **labels, ChecksumAlgorithm="CRC32", ChecksumType="FULL_OBJECT"
            )
        upload = self._at(key) | {"UploadId": made["UploadId"]}
        try:
            return self._send_parts(key, upload, first, stream)
        except _Taken:
            self._abort(upload)
            return None
        except BaseException:
            self._abort(upload)
            raise

    def _send_parts(self, key: str, upload: dict[str, Any], first: list[bytes], stream: Any) -> dict[str, Any]:
        size, crc, digest, parts = 0, 0, hashlib.sha256(), []
        while piece := first.pop() if first else stream.read(PART):
            with _explained(self._uri(key)):
                answer = self._client.upload_part(
                    **upload, PartNumber=len(parts) + 1, Body=piece, ChecksumAlgorithm="CRC32"
                )
            part = {"PartNumber": len(parts) + 1, "ETag": answer["ETag"]}
            if "ChecksumCRC32" in answer:
                part["ChecksumCRC32"] = answer["ChecksumCRC32"]
            parts.append(part)
            size, crc = size + len(piece), zlib.crc32(piece, crc)
            digest.update(piece)
            del piece  # before the next is read: one part in memory, not two
        with _explained(self._uri(key)), _lost_race():
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
        """Drop the parts: S3 bills them until then. A process that is killed leaves them to the lifecycle rule."""
        try:
            self._client.abort_multipart_upload(**upload)
        except (ClientError, BotoCoreError) as error:
            log.warning("An upload to %s could not be aborted: its parts stay. %s", self._uri(""), error)

    def _found(self, key: str) -> dict[str, Any] | None:
        """What `put` says of a key that is taken, or None."""
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


class _Taken(Exception):
    """Another writer was first."""


@contextmanager
def _lost_race() -> Iterator[None]:
    """Around the one request that makes an object visible."""
    try:
        yield
    except ClientError as error:
        if str(error.response.get("Error", {}).get("Code", "")) in _TAKEN:
            raise _Taken from error
        raise


def _base64(digest: bytes) -> str:
    return base64.b64encode(digest).decode()


def _hex(encoded: str | None) -> str | None:
    """S3's base64 as hex; None for a checksum of parts, which ends in their number."""
    return base64.b64decode(encoded).hex() if encoded and "-" not in encoded else None
