"""One upload to Google in chunks, and the requests that the SDK's public interface cannot make."""
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

# A chunk is what one transfer holds in memory; Google takes multiples of 256 KiB.
# https://cloud.google.com/storage/docs/performing-resumable-uploads#chunked-upload
CHUNK = 4 * 1024 * 1024
PIECE = 256 * 1024
TIMEOUT = (10, 60)  # seconds to connect, and between two bytes


class Upload:
    """One resumable upload in chunks: https://cloud.google.com/storage/docs/performing-resumable-uploads

    Done here and not by the SDK's `upload_from_file`, because that gives up when Google keeps only part of a chunk
    (https://github.com/googleapis/python-storage/issues/611), cannot be cancelled, deletes whatever generation is there
    after a mismatch, and holds two chunks in memory. The session's URL is a secret: who has it may write.
    """

    def __init__(self, http: Any, session: str, retry: Any, doing: str) -> None:
        import google_crc32c

        self._http, self._session, self._retry, self._doing = http, session, retry, doing
        self.read = 0  # bytes taken from the source
        self._kept = 0  # bytes that Google has confirmed
        self.crc32c = google_crc32c.Checksum()

    def run(self, stream: AudioStream) -> dict[str, Any]:
        """Send it all; Google's description of the finished object."""
        buffer = memoryview(bytearray(CHUNK))
        while True:
            filled = self._fill(buffer, stream)
            with translated(self._doing, missing=StorageUnavailable):
                stored = self._send(buffer[:filled], last=filled < CHUNK)
            if stored is not None:
                return stored

    def cancel(self) -> None:
        """Best effort: a session that stays is invisible and expires within a week. The answer to this is 499."""
        with suppress(StorageError), translated(self._doing):
            exchange(self._http, "DELETE", self._session, headers={"Content-Length": "0"}, fine=(499,))

    def _fill(self, buffer: memoryview, stream: AudioStream) -> int:
        filled = 0
        while filled < CHUNK:
            piece = stream.read(min(PIECE, CHUNK - filled))
            if not piece:
                break
            buffer[filled : filled + len(piece)] = piece
            self.crc32c.update(piece)
            filled += len(piece)
        self.read += filled
        return filled

    def _send(self, chunk: memoryview, *, last: bool) -> dict[str, Any] | None:
        """Until Google has the chunk, of which it may keep a part at a time; None while the object is unfinished."""
        begin, idle = self.read - len(chunk), 0
        while idle < 3:
            response = self._retry(self._transmit)(chunk[self._kept - begin :], last)
            if response.status_code != 308:
                stored: dict[str, Any] = response.json()
                return stored
            # 308 without a Range: nothing was kept so far.
            kept = re.search(r"-(\d+)$", response.headers.get("Range", ""))
            before, self._kept = self._kept, int(kept[1]) + 1 if kept else 0
            if not before <= self._kept <= self.read:
                break
            if self._kept == self.read and not last:
                return None
            idle = idle + 1 if self._kept == before else 0
        raise StorageUnavailable(f"Google Cloud Storage, {self._doing}: it does not keep what is sent. {AGAIN}")

    def _transmit(self, rest: memoryview, last: bool) -> Any:
        total = str(self.read) if last else "*"
        span = f"{self._kept}-{self._kept + len(rest) - 1}" if rest else "*"
        headers = {"Content-Range": f"bytes {span}/{total}"}
        if last:  # Google refuses the object if this is not the crc32c of all that it received
            headers["X-Goog-Hash"] = f"crc32c={base64.b64encode(self.crc32c.digest()).decode()}"
        return exchange(self._http, "PUT", self._session, headers=headers, data=rest, fine=(308,))


def exchange(
    http: Any, method: str, url: str, *, headers: dict[str, str], data: Any = None, stream: bool = False, fine: Any = ()
) -> Any:
    from google.api_core.exceptions import from_http_response

    response = http.request(
        method, url, data=data, headers=headers, stream=stream, timeout=TIMEOUT, allow_redirects=False
    )
    if response.status_code >= 300 and response.status_code not in fine:
        with response:
            raise from_http_response(response)
    return response
