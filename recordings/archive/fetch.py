"""The authorised, checked audio stream: one GET to Vonage, refused, followed or trusted by rules that stand here.

The token goes to hosts that the rule allows and to nobody else; a body is reported as ended only when all of it came.
What an HTTP status means for the copy stands in `recordings.archive.failures`.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable
from datetime import datetime
from types import TracebackType
from typing import Any, Self
from urllib.parse import urljoin, urlsplit

import requests
from requests.adapters import HTTPAdapter
from requests.auth import AuthBase
from urllib3.exceptions import HTTPError, ReadTimeoutError

from recordings.clock import utc_now
from recordings.errors import LeaseLost, NotAudio, SourceDenied, SourceTruncated, SourceUnavailable

from . import formats
from .failures import refusal
from .hosts import HostRule

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_MAX_REDIRECTS = 3
_HEADERS = {"Accept-Encoding": "identity", "Accept": "*/*"}
_TIMEOUTS = (5, 60)  # seconds to connect, seconds without a byte

# A source slower than this on average, after a grace, is hung for our purposes: speech alone is 4 KiB/s.
_LEAST_RATE = 4096
_GRACE_SECONDS = 120


class _Bearer(AuthBase):
    """As `auth`, not as a header: requests lets an entry in ~/.netrc replace an Authorization header."""

    def __init__(self, mint: Callable[[], str]) -> None:
        self._mint = mint

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {self._mint()}"
        return request


class Fetcher:
    """Opens recordings at Vonage. `mint` gives a fresh JWT for each request; safe for threads.

    `connections` bounds the pool: give as many as there are worker threads.
    """

    def __init__(
        self,
        rule: HostRule,
        mint: Callable[[], str],
        *,
        connections: int = 8,
        session: requests.Session | None = None,
        clock: Callable[[], datetime] = utc_now,
        ticks: Callable[[], float] = time.monotonic,
    ) -> None:
        self._rule = rule
        self._auth = _Bearer(mint)
        self._session = session or _session(connections)
        self._clock = clock
        self._ticks = ticks

    def open(self, url: str, announced: int | None = None, *, stopped: Callable[[], bool] = lambda: False) -> HttpAudio:
        """Start the transfer and look at its first bytes. Raises a `SourceError`; never gives a page for audio.

        `announced` is the event's size in bytes; `stopped` is asked between reads whether to go on.
        """
        for _ in range(_MAX_REDIRECTS + 1):
            response = self._get(url)
            if response.status_code not in _REDIRECTS:
                return self._audio(response, announced, stopped)
            url = _target(response, url)
        raise SourceUnavailable(f"Vonage redirected more than {_MAX_REDIRECTS} times; the last was to {_host(url)}.")

    def document(self, url: str, most: int = 4 << 20) -> Any:
        """A JSON document of at most so many bytes, under the same rule. Raises a `SourceError`; follows nowhere."""
        with self._get(url) as response:
            if response.status_code != 200:
                raise refusal(response.status_code, response.headers, self._clock())
            try:
                return json.loads(response.raw.read(most + 1, decode_content=False))
            except (HTTPError, OSError, ValueError, RecursionError) as error:  # what is longer is cut, so no JSON
                raise SourceUnavailable(f"{_host(url)} sent no JSON document: {_short(error)}") from error

    def close(self) -> None:
        """Close the connections that are idle."""
        self._session.close()

    def _get(self, url: str) -> requests.Response:
        if not self._rule.allows(url):
            raise SourceDenied(
                f"{_host(url)} may not get our token: RECORDING_HOSTS does not allow it. Add it only if it is Vonage's."
            )
        try:
            # No encoding: a gzipped body would hide its true length. No automatic redirects: requests decides by its
            # own rules who gets the token. https://requests.readthedocs.io/en/latest/user/quickstart/#redirection-and-history
            # Sent by the adapter, not by the session: that one adds what it finds in ~/.netrc, keeps cookies, and takes
            # a tenth of the time for it.
            settings: Any = self._session.merge_environment_settings(url, {}, True, None, None)
            return self._session.get_adapter(url).send(self._request(url), timeout=_TIMEOUTS, **settings)
        except (requests.RequestException, HTTPError, OSError) as error:
            raise SourceUnavailable(f"{_host(url)} could not be reached: {_short(error)}") from error

    def _request(self, url: str) -> requests.PreparedRequest:
        request = requests.PreparedRequest()
        request.prepare_method("GET")
        request.prepare_url(url, None)
        request.prepare_headers(_HEADERS)
        request.prepare_auth(self._auth, url)
        return request

    def _audio(self, response: requests.Response, announced: int | None, stopped: Callable[[], bool]) -> HttpAudio:
        try:
            if response.status_code != 200:
                raise refusal(response.status_code, response.headers, self._clock())
            audio = HttpAudio(response, announced, stopped, self._ticks)
            audio.look()
            return audio
        except BaseException:
            response.close()
            raise


class HttpAudio:
    """An open, checked transfer. `size` is its Content-Length or None; `kind` what its first bytes are.

    `received` and `sha256` tell what was handed out so far; `complete` that the true end was reached.
    """

    def __init__(
        self,
        response: requests.Response,
        announced: int | None,
        stopped: Callable[[], bool],
        ticks: Callable[[], float],
    ) -> None:
        self._response = response
        self._announced = announced
        self._stopped = stopped
        self._ticks = ticks
        self._began = ticks()
        self._head = b""
        self._from_network = 0
        self._digest = hashlib.sha256()
        self.size = _content_length(response)
        self.kind = formats.UNKNOWN
        self.received = 0
        self.complete = False

    @property
    def content_type(self) -> str:
        """The media type, by the bytes and not by the header."""
        return self.kind.content_type

    @property
    def sha256(self) -> str:
        """Of the bytes handed out so far, in lower-case hex."""
        return self._digest.hexdigest()

    def look(self) -> None:
        """Read the first bytes, once. Raises `NotAudio` for a page, an encoded or an empty body."""
        header = self._response.headers.get("Content-Type", "").split(";")[0].strip().lower()
        encoding = self._response.headers.get("Content-Encoding", "identity").strip().lower()
        if encoding not in ("", "identity"):
            raise NotAudio(f"Vonage sent the body encoded ({encoding[:40]}), which we asked it not to do.")
        self._head = self._fill(formats.HEAD)
        if not self._head:
            raise NotAudio("Vonage answered 200 with an empty body in place of audio.")
        if header in ("text/html", "application/json", "application/problem+json") or formats.is_page(self._head):
            raise NotAudio(f"Vonage answered 200 with a page ({header or 'no type'}) in place of audio.")
        self.kind = formats.audio_kind(self._head)

    def read(self, n: int = -1, /) -> bytes:
        """Exactly `n` bytes until the end; `-1`: all that is left. Raises a `SourceError` at a false end."""
        if n < 0:
            return b"".join(iter(lambda: self.read(1 << 20), b""))
        head, self._head = self._head[:n], self._head[n:]
        data = head + self._fill(n - len(head)) if len(head) < n else head
        self.received += len(data)
        self._digest.update(data)
        return data

    def _fill(self, n: int) -> bytes:
        """`n` bytes from the network; fewer mean that the end was reached and found true."""
        pieces: list[bytes] = []
        missing = n
        while missing and not self.complete:
            piece = self._piece(missing)
            if not piece:
                self._end()
            pieces.append(piece)
            missing -= len(piece)
            # All that was promised is here: a store that reads just so many bytes need not ask for more.
            self.complete = self.complete or self._from_network == self.size
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def _piece(self, most: int) -> bytes:
        if self._stopped():
            raise LeaseLost("Stopped in mid-transfer: the copy is another worker's now, or this one is shutting down.")
        try:
            # One receive at a time: `read` would wait for all of it from a source that drips.
            piece = self._response.raw.read1(most, decode_content=False) or b""
        except ReadTimeoutError as error:
            raise SourceUnavailable(f"No byte came for {_TIMEOUTS[1]} s; {self._so_far()}.") from error
        except (HTTPError, OSError, ValueError) as error:
            raise SourceTruncated(f"The transfer broke off; {self._so_far()}: {_short(error)}") from error
        self._from_network += len(piece)
        elapsed = self._ticks() - self._began
        if elapsed > _GRACE_SECONDS + self._from_network / _LEAST_RATE:
            raise SourceUnavailable(f"The transfer is too slow to end: {self._so_far()} in {elapsed:.0f} s.")
        return piece

    def _end(self) -> None:
        # urllib3 1.26 reports a cut body as a clean end, and no version can see one that was announced by no length:
        # then the event's size is the only witness.
        expected = self.size
        if expected is None and not _chunked(self._response):
            expected = self._announced or None
        if expected is not None and self._from_network < expected:
            raise SourceTruncated(f"The transfer ended early; {self._so_far()}.")
        self.complete = True

    def _so_far(self) -> str:
        of = self.size if self.size is not None else self._announced
        return f"{self._from_network} of {'an unknown number of' if of is None else of} bytes came"

    def close(self) -> None:
        """Give the connection back when all was read, else cut it."""
        if self.complete:
            self._response.raw.release_conn()
        self._response.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class _Session(requests.Session):
    """Asks the environment for proxies and certificates once for each host.

    requests does so for each request, which then takes a fifth of its time. What it asks for is always the same here.
    """

    def __init__(self) -> None:
        super().__init__()
        self._found: dict[str, Any] = {}

    def merge_environment_settings(self, url: Any, proxies: Any, stream: Any, verify: Any, cert: Any) -> Any:
        """What it found for this host, at the first request to it."""
        host = "/".join(str(url).split("/", 3)[:3])
        if host not in self._found:
            self._found[host] = super().merge_environment_settings(url, proxies, stream, verify, cert)
        return dict(self._found[host])


def _session(connections: int) -> requests.Session:
    session = _Session()
    adapter = HTTPAdapter(pool_connections=connections, pool_maxsize=connections, max_retries=0)
    session.mount("https://", adapter)
    session.mount("http://", adapter)
    return session


def _target(response: requests.Response, url: str) -> str:
    response.close()
    location = response.headers.get("Location")
    if not location:
        raise SourceUnavailable(f"{_host(url)} redirected without saying where to.")
    return urljoin(url, location)


def _content_length(response: requests.Response) -> int | None:
    if _chunked(response):
        return None
    value = response.headers.get("Content-Length", "")
    return int(value) if value.isdecimal() else None


def _chunked(response: requests.Response) -> bool:
    return "chunked" in response.headers.get("Transfer-Encoding", "").lower()


def _host(url: str) -> str:
    """The URL's host for a message; never its query, which may hold secrets."""
    try:
        parts = urlsplit(url)
        return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"[:200] or "an empty URL"
    except ValueError:
        return "a malformed URL"


def _short(error: BaseException) -> str:
    """The reason inside, where there is one: what urllib3 wraps around it quotes the whole URL."""
    cause = getattr(error.args[0], "reason", None) if error.args else None
    cause = cause if isinstance(cause, Exception) else error
    return f"{type(cause).__name__}: {cause}"[:300]
