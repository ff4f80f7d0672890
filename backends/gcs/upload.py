"""One upload to Google in chunks, by requests that the SDK's public interface cannot make."""
# Google's libraries have types in part only.
# mypy: allow-untyped-calls

from __future__ import annotations

import base64
import re
from contextlib import suppress
from typing import Any

from recordings.errors import StorageError, StorageUnavailable
from recordings.storage import AudioStream

from .errors import AGAIN, translated

# One upload holds one chunk in memory. Google accepts multiples of 256 KiB.
# https://cloud.google.com/storage/docs/performing-resumable-uploads#chunked-upload
CHUNK = 4 * 1024 * 1024
PIECE = 256 * 1024  # what one read asks for
TIMEOUT = (10, 60)  # seconds: to connect, and between two bytes


class Upload:
    """One resumable upload in chunks: https://cloud.google.com/storage/docs/performing-resumable-uploads

    The SDK's `upload_from_file` is not used: it gives up when Google keeps only part of a chunk
    (https://github.com/googleapis/python-storage/issues/611), cannot be cancelled, holds two chunks in memory, and
    deletes the newest generation after a mismatch, even one of another writer. The URL of the session is a secret: it
    gives the right to write.
    """

    def __init__(self, http: Any, session: str, retry: Any, doing: str) -> None:
        import google_crc32c

        self._http, self._session, self._retry, self._doing = http, session, retry, doing
        self.size = 0  # bytes read from the source
        self._confirmed = 0  # bytes that Google has confirmed
        self.crc32c = google_crc32c.Checksum()

    def run(self, stream: AudioStream) -> dict[str, Any]:
        """Send the whole stream; the answer is Google's description of the finished object."""
        buffer = memoryview(bytearray(CHUNK))
        while True:
            filled = self._fill(buffer, stream)
            with translated(self._doing, missing=StorageUnavailable):
                stored = self._send(buffer[:filled], last=filled < CHUNK)
            if stored is not None:
                return stored

    def cancel(self) -> None:
        """Cancel the session if possible; else it stays invisible and expires within a week. Google answers 499."""
        with suppress(StorageError), translated(self._doing):
            send_request(self._http, "DELETE", self._session, headers={"Content-Length": "0"}, accepted=(499,))

    def _fill(self, buffer: memoryview, stream: AudioStream) -> int:
        filled = 0
        while filled < CHUNK:
            piece = stream.read(min(PIECE, CHUNK - filled))
            if not piece:
                break
            buffer[filled : filled + len(piece)] = piece
            self.crc32c.update(piece)
            filled += len(piece)
        self.size += filled
        return filled

    def _send(self, chunk: memoryview, *, last: bool) -> dict[str, Any] | None:
        """Send a chunk until Google has kept all of it, perhaps part by part; None while the object is unfinished."""
        start, in_vain = self.size - len(chunk), 0
        while in_vain < 3:
            response = self._retry(self._transmit)(chunk[self._confirmed - start :], last)
            if response.status_code != 308:
                stored: dict[str, Any] = response.json()
                return stored
            # 308 without a Range: Google has kept nothing so far.
            last_byte = re.search(r"-(\d+)$", response.headers.get("Range", ""))
            before, self._confirmed = self._confirmed, int(last_byte[1]) + 1 if last_byte else 0
            if not before <= self._confirmed <= self.size:
                break
            if self._confirmed == self.size and not last:
                return None
            in_vain = in_vain + 1 if self._confirmed == before else 0
        raise StorageUnavailable(f"Google Cloud Storage, {self._doing}: it does not keep what is sent. {AGAIN}")

    def _transmit(self, rest: memoryview, last: bool) -> Any:
        total = str(self.size) if last else "*"
        span = f"{self._confirmed}-{self._confirmed + len(rest) - 1}" if rest else "*"
        headers = {"Content-Range": f"bytes {span}/{total}"}
        if last:  # Google refuses the object unless this is the crc32c of all bytes that it received
            headers["X-Goog-Hash"] = f"crc32c={base64.b64encode(self.crc32c.digest()).decode()}"
        return send_request(self._http, "PUT", self._session, headers=headers, data=rest, accepted=(308,))


def send_request(
    http: Any,
    method: str,
    url: str,
    *,
    headers: dict[str, str],
    data: Any = None,
    stream: bool = False,
    accepted: Any = (),
) -> Any:
    """One request of our own. Raises Google's error for a status from 300 on that is not `accepted`."""
    from google.api_core.exceptions import from_http_response

    response = http.request(
        method, url, data=data, headers=headers, stream=stream, timeout=TIMEOUT, allow_redirects=False
    )
    if response.status_code >= 300 and response.status_code not in accepted:
        with response:
            raise from_http_response(response)
    return response
