"""Requests to Vonage: which URL gets our token, which redirect is followed, and what a reply must be.

The audio itself is read and checked by `http_audio`; what an HTTP status means for the copy stands in `failures`.

Plugins and error trackers see our errors, with their causes, contexts and the variables of their frames, and the
exceptions of requests hold the request. So the token is removed from each request that was answered, and our own error
is raised after the `except` block that caught an exception of requests: then our error does not lead to it.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from datetime import datetime
from functools import lru_cache
from http.cookiejar import DefaultCookiePolicy
from typing import Any
from urllib.parse import urljoin, urlsplit

import requests
from requests.adapters import HTTPAdapter
from urllib3.exceptions import HTTPError

from recordings.clock import utc_now
from recordings.errors import SourceDenied, SourceUnavailable

from .failures import refusal
from .hosts import HostRule, percent_encoded, understood
from .http_audio import HttpAudio, short

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_MAX_REDIRECTS = 3
# No encoding: a gzipped body would hide its true length.
_HEADERS = {"Accept-Encoding": "identity", "Accept": "*/*"}


class Fetcher:
    """Opens recordings at Vonage. `mint` gives a fresh JWT for each request; safe for threads.

    `connections` is the size of the pool: as many as there are worker threads. `timeouts`: the seconds to wait for a
    connection, and for the next byte. Proxies and certificates are those of the environment (HTTPS_PROXY, NO_PROXY,
    REQUESTS_CA_BUNDLE): https://requests.readthedocs.io/en/latest/user/advanced/#proxies
    """

    def __init__(
        self,
        rule: HostRule,
        mint: Callable[[], str],
        *,
        connections: int = 8,
        session: requests.Session | None = None,
        timeouts: tuple[float, float] = (5, 60),
        clock: Callable[[], datetime] = utc_now,
        ticks: Callable[[], float] = time.monotonic,
    ) -> None:
        self._rule = rule
        self._mint = mint
        self._session = session or _session(connections)
        self._timeouts = timeouts
        self._clock = clock
        self._ticks = ticks
        # requests would read the whole environment for each request, which takes a tenth of the time for a recording.
        self._session.trust_env = False
        self._environment = lru_cache(64)(_environment)

    def open(
        self,
        url: str,
        announced: int | None = None,
        *,
        stopped: Callable[[], bool] = lambda: False,
        previous_error: str | None = None,
    ) -> HttpAudio:
        """Start the transfer and look at its first bytes. Raises a `SourceError`; never returns a page as audio.

        `announced` is the event's size in bytes; `stopped` is asked between two reads whether the work must stop;
        `previous_error` is the message of the error that ended the attempt before this one; see `HttpAudio`.
        """
        for _ in range(_MAX_REDIRECTS + 1):
            response = self._get(url)
            if response.status_code not in _REDIRECTS:
                return self._audio(response, announced, stopped, previous_error)
            url = _target(response, url)
        raise SourceUnavailable(f"Vonage redirected more than {_MAX_REDIRECTS} times; the last was to {_host(url)}.")

    def document(self, url: str, limit: int = 4 << 20) -> Any:
        """A JSON document of at most `limit` bytes, under the same rule; no redirect. Raises a `SourceError`."""
        with self._get(url) as response:
            if response.status_code != 200:
                raise refusal(response.status_code, response.headers, self._clock())
            try:
                # A longer document is cut, so it is no JSON any more.
                return json.loads(response.raw.read(limit + 1, decode_content=False))
            except (HTTPError, OSError, ValueError, RecursionError) as error:
                problem = short(error)
        raise SourceUnavailable(f"{_host(url)} sent no JSON document: {problem}")

    def close(self) -> None:
        """Close the pooled connections; a later request opens new ones."""
        self._session.close()

    def _get(self, url: str) -> requests.Response:
        url = percent_encoded(url)
        self._check(url)
        try:
            response = self._session.send(
                self._request(url),
                stream=True,
                timeout=self._timeouts,
                allow_redirects=False,  # requests would decide by its own rules which host gets the token
                **self._environment(_host(url)),
            )
        # requests raises a bare ValueError for a redirect whose target cannot be parsed.
        except (requests.RequestException, HTTPError, OSError, ValueError) as error:
            problem = short(error)
        else:
            _forget_token(response)
            return response
        raise SourceUnavailable(f"{_host(url)} could not be reached: {problem}")

    def _request(self, url: str) -> requests.PreparedRequest:
        """A request that takes nothing from the session: to merge the two costs as much as half the JWT."""
        hooks = {"response": _close_redirect}
        return requests.Request("GET", url, headers=_HEADERS, auth=self._authorise, hooks=hooks).prepare()

    def _check(self, url: str) -> None:
        """Raise `SourceDenied` for a URL that must not be asked with our token."""
        if not understood(url):
            raise SourceDenied(
                f"The recording's URL is not understood: {_host(url)}. It must be https://, a host and a path, without "
                "user name or backslash in the host. Nothing was asked."
            )
        if not self._rule.allows(url):
            raise SourceDenied(
                f"{_host(url)} may not get our token: RECORDING_HOSTS does not allow it. Add it only if it is Vonage's."
            )

    def _authorise(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        """Add the token. This is an `auth`, because an entry in ~/.netrc replaces an Authorization header.

        https://requests.readthedocs.io/en/latest/user/authentication/#netrc-authentication
        """
        request.headers["Authorization"] = f"Bearer {self._mint()}"
        return request

    def _audio(
        self,
        response: requests.Response,
        announced: int | None,
        stopped: Callable[[], bool],
        previous_error: str | None,
    ) -> HttpAudio:
        try:
            if response.status_code != 200:
                raise refusal(response.status_code, response.headers, self._clock())
            audio = HttpAudio(response, announced, stopped, self._ticks, self._timeouts[1], previous_error)
            audio.look()
            return audio
        except BaseException:
            response.close()
            raise


def _environment(origin: str) -> dict[str, Any]:
    """The proxies and the certificates that the environment names for this host, as requests itself reads them."""
    with requests.Session() as session:
        settings = session.merge_environment_settings(origin, {}, None, None, None)
    return {name: settings[name] for name in ("proxies", "verify", "cert")}


def _session(connections: int) -> requests.Session:
    """A session that keeps no cookies: a request carries the token and nothing from an earlier reply."""
    session = requests.Session()
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    adapter = HTTPAdapter(pool_connections=connections, pool_maxsize=connections, max_retries=0)
    session.mount("https://", adapter)
    session.mount("http://", adapter)
    return session


def _close_redirect(response: requests.Response, **_: Any) -> None:
    """requests reads the body of a redirect to its end, also when it does not follow it; that body may be endless.

    https://requests.readthedocs.io/en/latest/user/advanced/#event-hooks
    """
    if response.is_redirect:
        response.close()


def _forget_token(response: requests.Response) -> None:
    """Take the token out of the request, which hangs on the response, and drop the redirect that requests prepared."""
    response.request.headers.pop("Authorization", None)
    setattr(response, "_next", None)  # noqa: B010 - requests gives no name to it; `Response.next` reads it


def _target(response: requests.Response, url: str) -> str:
    response.close()
    location = response.headers.get("Location")
    if not location:
        raise SourceUnavailable(f"{_host(url)} redirected without saying where to.")
    return urljoin(url, location)


def _host(url: str) -> str:
    """The URL's host for a message; never its query, which may hold secrets."""
    try:
        parts = urlsplit(url)
        return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"[:200] or "an empty URL"
    except ValueError:
        return "a malformed URL"
