"""Which hosts may get our JWT: the one rule that keeps the application's credentials at Vonage.

The token gives access to the whole application. So the rule compares the host of the parsed URL, label by label, and
refuses a URL that two parsers could read in two ways.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import SplitResult, quote, urlsplit

_PLAIN_HOST = re.compile(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?")
_AUTHORITY_AND_REST = re.compile(r"(?P<authority>[A-Za-z][A-Za-z0-9+.-]*://[^/?#]*)(?P<rest>.*)", re.DOTALL)
_URL_CHARACTERS = "%:/?#[]@!$&'()*+,;=~"  # and letters, digits, - . _: https://www.rfc-editor.org/rfc/rfc3986#section-2
_PORTS = {"https": 443, "http": 80}


@dataclass(frozen=True, slots=True)
class HostRule:
    """A domain with a leading dot allows itself and its subdomains, else that host alone; by https on port 443.

    `origins` are exact (scheme, host, port): the only way to allow http or another port, meant for a simulator.
    """

    domains: tuple[str, ...]
    origins: frozenset[tuple[str, str, int]]

    @classmethod
    def parse(cls, entries: Iterable[str]) -> HostRule:
        """From `RECORDING_HOSTS`. Raises `ValueError` that says which entry is wrong and how to write it."""
        domains, origins = [], set()
        for entry in entries:
            if "://" in entry:
                origins.add(_origin(entry))
            elif _PLAIN_HOST.fullmatch(entry.lower().lstrip(".")):
                domains.append(entry.lower())
            else:
                raise ValueError(f"{entry!r} is no host: write .vonage.com, or http://127.0.0.1:4010 for a simulator")
        return cls(tuple(domains), frozenset(origins))

    def allows(self, url: str) -> bool:
        """Whether a request to this very URL may carry the JWT."""
        parts = _split(url)
        if parts is None or parts.hostname is None:
            return False
        host = parts.hostname.lower().rstrip(".")
        port = _port(parts)
        if (parts.scheme, host, port) in self.origins:
            return True
        return parts.scheme == "https" and port == _PORTS["https"] and any(_within(host, d) for d in self.domains)


def percent_encoded(url: str) -> str:
    """The URL as it may be sent: blanks, non-ASCII letters and the like behind the host are percent-encoded.

    What is encoded already stays so. The scheme and the host stay as they are, for `understood` to judge.
    """
    parts = _AUTHORITY_AND_REST.fullmatch(url.strip())
    if parts is None:
        return url
    rest = re.sub("%(?![0-9A-Fa-f]{2})", "%25", parts["rest"])
    return parts["authority"] + quote(rest, safe=_URL_CHARACTERS, errors="replace")


def understood(url: str) -> bool:
    """Whether every parser reads the same host in this URL."""
    parts = _split(url)
    return parts is not None and parts.scheme in _PORTS and bool(parts.hostname)


def _within(host: str, domain: str) -> bool:
    return _PLAIN_HOST.fullmatch(host) is not None and (
        host == domain.removeprefix(".") or (domain.startswith(".") and host.endswith(domain))
    )


def _split(url: str) -> SplitResult | None:
    """The URL's parts, or None where parsers may disagree: user info, backslashes, spaces, non-ASCII characters."""
    if not re.fullmatch(r"[!-~]+", url) or "\\" in url:
        return None
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018 - reading it is what raises on a port that is no number
    except ValueError:
        return None
    return None if "@" in parts.netloc else parts


def _origin(entry: str) -> tuple[str, str, int]:
    parts = _split(entry)
    if parts is None or parts.scheme not in _PORTS or not parts.hostname or parts.path.strip("/") or parts.query:
        raise ValueError(f"{entry!r} is no origin: write scheme, host and port only, such as http://127.0.0.1:4010")
    return parts.scheme, parts.hostname.lower().rstrip("."), _port(parts)


def _port(parts: SplitResult) -> int:
    """The port as written, else the scheme's own. Port 0 is not taken for a missing port."""
    return _PORTS.get(parts.scheme, 0) if parts.port is None else parts.port
