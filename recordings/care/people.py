"""How people are told: mail, Slack, Teams and a hundred other services, by `apprise`.

An apprise address holds passwords and tokens in places that differ from service to service, so neither an address nor
what apprise says of it is ever logged or raised: a recipient is known by its service and a short hash.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence

import apprise

from recordings.errors import TapekeeperError
from recordings.timeouts import NoAnswer, TimeLimit

# Its lines hold whole addresses, the debugging ones even tokens. What went wrong is said by `NotSent`.
logging.getLogger("apprise").disabled = True

_SECONDS = 30.0


class NotSent(TapekeeperError):
    """The service did not take the notice."""


class InvalidAddress(ValueError):
    """An address that apprise does not understand. The message says which, and what to write."""


class Recipient:
    """One address of NOTIFY_URLS. `name` tells it from the others, and shows nothing of what is secret in it.

    The hash in the name is cut so short that nobody can find the address by trying: countless addresses share it.
    """

    def __init__(self, url: str, *, seconds: float = _SECONDS) -> None:
        service = apprise.Apprise.instantiate(url, suppress_exceptions=True)
        if service is None:
            raise InvalidAddress("apprise does not understand it")
        self._service = service
        self._limit = TimeLimit(seconds, most=2)
        scheme = url.partition("://")[0].lower()[:32]
        self.name = f"{scheme}-{hashlib.sha256(url.encode()).hexdigest()[:6]}"

    def send(self, title: str, text: str, *, well: bool = False) -> None:
        """Send a notice, off the caller's thread. Raises `NotSent`; what is sent after that is not known."""
        kind = apprise.NotifyType.SUCCESS if well else apprise.NotifyType.WARNING
        try:
            sent = self._limit.call(
                lambda: self._service.notify(body=text, title=title, notify_type=kind), name="tapekeeper-notice"
            )
        except NoAnswer as error:
            raise NotSent(f"{self.name} did not answer: {error}.") from None
        except Exception as error:  # whatever one of the many services raises; its text may hold the address
            raise NotSent(f"{self.name} broke off ({type(error).__name__}).") from None
        if not sent:
            raise NotSent(
                f"{self.name} did not take it: check this address in NOTIFY_URLS, and that the service is up."
            )


def recipients(urls: Sequence[str]) -> list[Recipient]:
    """The recipients at these addresses. Raises `InvalidAddress`."""
    made = []
    for position, url in enumerate(urls, 1):
        try:
            made.append(Recipient(url))
        except InvalidAddress:
            raise InvalidAddress(
                f"apprise does not understand address number {position} ({url.partition('://')[0][:32]}://…): write it "
                "as https://github.com/caronc/apprise/wiki shows for its service"
            ) from None
    return made
