"""What opens the console's door: the settings of it, the parts that it uses, and the demo's own open door."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from ipaddress import ip_address
from typing import Any, Protocol

from recordings.catalogue.people import People
from recordings.errors import InvalidInput

_MACHINES = re.compile(r"/(webhooks(/.*)?|healthz|readyz|metrics)")


class DemoDoor:
    """The open door of `make demo`. Only who knows the addresses that the server listens at can open it.

    Nothing in a request says reliably where it comes from, so a request never opens it.
    """

    def __init__(self, wanted: bool) -> None:
        self._wanted = wanted
        self.is_open = False

    def open(self, listening: Iterable[Any]) -> None:
        """Open it, if it is wanted. Raises `InvalidInput` where other machines reach one of the addresses.

        An address is a host's name, or what a socket's `getsockname` gives.
        """
        hosts = [address[0] if isinstance(address, tuple) else address for address in listening]
        if not self._wanted:
            return
        if not hosts or not all(is_loopback(host) for host in hosts):
            raise InvalidInput(
                "DEMO_DOOR is 'true': take it out, or let the server listen at 127.0.0.1 alone, for it opens the "
                "console to everybody"
            )
        self.is_open = True


class DoorSettings(Protocol):
    """The settings of the door. `auth_role` is for whoever comes through one of `auth_proxies` and has no account."""

    @property
    def public_url(self) -> str: ...
    @property
    def console_password(self) -> str: ...
    @property
    def api_tokens(self) -> Sequence[str]: ...
    @property
    def auth_header(self) -> str: ...
    @property
    def auth_proxies(self) -> Sequence[str]: ...
    @property
    def auth_role(self) -> str: ...
    @property
    def proxy_hops(self) -> int: ...
    @property
    def demo_door(self) -> bool: ...


class Parts(Protocol):
    """What the access to the console uses, made at its first use."""

    @property
    def people(self) -> People: ...


@lru_cache(maxsize=256)  # each event asks several times
def is_for_machines(path: str) -> bool:
    """Whether Vonage or a monitor asks for this path: its route has rules of its own."""
    return _MACHINES.fullmatch(re.sub("/{2,}", "/", path)) is not None


def is_api(path: str) -> bool:
    """Whether a program asks for this path, which wants JSON and may show a token. The API's manual is a page."""
    return path.startswith("/api/") and path != "/api/docs"


def is_loopback(host: object) -> bool:
    """Whether this host's name or IP address is one that no other machine can reach."""
    try:
        return host == "localhost" or ip_address(str(host)).is_loopback
    except ValueError:
        return False
