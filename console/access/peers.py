"""Where a request comes from, and whom a single sign-on proxy says that it is.

The proxy is known by the address of its TCP connection alone, which nobody can write into a header.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from recordings.access import clean_name

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment


class Peers:
    """Reads addresses and the proxy's header off a request's WSGI environment.

    `header` is what `proxies`, addresses and networks, name the person in. `hops` proxies add to X-Forwarded-For.
    """

    def __init__(self, header: str, proxies: Sequence[str], hops: int) -> None:
        # The gateway interface writes `X-Remote-User` and `X_Remote_User` alike. https://peps.python.org/pep-3333/
        self._key = "HTTP_" + header.upper().replace("-", "_") if header else ""
        self._networks = [ip_network(proxy) for proxy in proxies]
        self._hops = hops

    def client_address(self, environ: WSGIEnvironment) -> str:
        """The address of the browser or program: the one that the outermost of our own proxies saw."""
        seen = [part.strip() for part in environ.get("HTTP_X_FORWARDED_FOR", "").split(",")]
        forwarded = seen[-self._hops] if 0 < self._hops <= len(seen) else ""
        return str(_address(forwarded) or _address(environ.get("REMOTE_ADDR", "")) or "unknown")

    def asserted_name(self, environ: WSGIEnvironment) -> str | None:
        """Whom the proxy says that the request comes from. Raises `InvalidInput` when that cannot be a name.

        A header that was sent twice arrives as one with a comma, which no name holds.
        """
        value = environ.get(self._key, "") if self._key and self._is_proxy(environ) else ""
        # Headers arrive as Latin-1, whatever the proxy wrote. https://peps.python.org/pep-3333/#unicode-issues
        return clean_name(value.encode("latin-1", "replace").decode("utf-8", "replace")) if value else None

    def before(self, application: WSGIApplication, public_url: str) -> WSGIApplication:
        """The application with its public path before its links, and without the header from anybody but the proxy."""
        prefix = urlsplit(public_url).path

        def call(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
            if prefix:
                environ["SCRIPT_NAME"] = prefix
            if self._key and not self._is_proxy(environ):
                environ.pop(self._key, None)
            return application(environ, start_response)

        return call

    def _is_proxy(self, environ: dict[str, Any]) -> bool:
        peer = _address(environ.get("REMOTE_ADDR", ""))
        return peer is not None and any(peer in network for network in self._networks)


def _address(text: str) -> IPv4Address | IPv6Address | None:
    """The address; an IPv4 address that came over an IPv6 socket is an IPv4 address."""
    try:
        address = ip_address(text)
    except ValueError:
        return None
    return (address.ipv4_mapped if isinstance(address, IPv6Address) else None) or address
