"""One upload to Azure: its blocks, the commit that makes the blob visible, and the look at what Azure then holds."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING

from recordings.errors import ChecksumMismatch, StorageError
from recordings.storage import AudioStream

from .errors import translated

if TYPE_CHECKING:
    from azure.storage.blob import BlobClient

# One upload holds one block in memory. A blob has at most 50,000 blocks.
# https://learn.microsoft.com/rest/api/storageservices/put-block
BLOCK = 4 * 1024 * 1024


class Upload:
    """An upload in blocks, which stay invisible until they are committed.

    Small audio is sent in a block, too: after an interrupted upload, Azure refuses a plain Put Blob with If-None-Match,
    and blocks whose ids differ in length from those that are left there. The ids are unique to this upload, so the
    blocks of two writers never mix. https://learn.microsoft.com/rest/api/storageservices/put-block#remarks
    """

    def __init__(self, blob: BlobClient, uri: str) -> None:
        self._blob, self._uri = blob, uri
        self._id = secrets.token_hex(8)
        self._blocks: list[str] = []
        self._sha256 = hashlib.sha256()
        self.size = 0  # bytes that were sent

    @property
    def sha256(self) -> str:
        """The sha256 of what was sent, in hex."""
        return self._sha256.hexdigest()

    def run(self, stream: AudioStream) -> None:
        """Send the whole stream. Azure checks the MD5 of each block."""
        with ThreadPoolExecutor(1) as hasher:  # one thread alone, which sends and hashes, is a fifth slower
            while block := stream.read(BLOCK):
                self._blocks.append(f"{self._id}-{len(self._blocks):06}")
                self.size += len(block)
                hashed = hasher.submit(self._sha256.update, block)
                with translated(f"storing {self._uri}"):
                    self._blob.stage_block(self._blocks[-1], block, validate_content=True)
                hashed.result()
                del block  # before the next block is read, or two blocks would be in memory

    def commit(self, content_type: str, metadata: Mapping[str, str]) -> None:
        """Make the blob visible, and verify its size. Raises `KeyTaken` when another writer was first."""
        from azure.core import MatchConditions
        from azure.storage.blob import BlobBlock, ContentSettings

        # Content-MD5 is left out: Azure would store any value unchecked, and to compute it takes as long as to send.
        # https://learn.microsoft.com/rest/api/storageservices/put-block-list#request-headers
        with translated(f"finishing {self._uri}"):
            self._blob.commit_block_list(
                [BlobBlock(block) for block in self._blocks],
                content_settings=ContentSettings(content_type=content_type),
                metadata={**metadata, "sha256": self.sha256},
                match_condition=MatchConditions.IfMissing,
            )
        self._verify()

    def _verify(self) -> None:
        with translated(f"verifying {self._uri}"):
            properties = self._blob.get_blob_properties()
        if properties.size == self.size:
            return
        from azure.core import MatchConditions

        # Only this very version is deleted: what another writer may have stored since is not ours to delete.
        outcome = "It could not be deleted: delete it, or it passes for the recording."
        with suppress(StorageError), translated("deleting a spoilt blob"):
            self._blob.delete_blob(etag=properties.etag, match_condition=MatchConditions.IfNotModified)
            outcome = "It was deleted, and the upload is tried again."
        raise ChecksumMismatch(f"{self._uri} has {properties.size} bytes, but {self.size} were sent. {outcome}")
