"""How programs are told: each event is a signed POST, sent again for days until the program takes it.

Signed by Standard Webhooks, so that any of its libraries can verify it:
https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from datetime import datetime
from http.cookiejar import DefaultCookiePolicy
from urllib.parse import urlsplit

import requests
from standardwebhooks import Webhook

from recordings.catalogue.outgoing import OutgoingEvent, OutgoingEvents
from recordings.clock import utc_now
from recordings.errors import CatalogueUnavailable, TapekeeperError
from recordings.retry_after import parse_retry_after
from recordings.timeouts import NoAnswer, TimeLimit

log = logging.getLogger(__name__)

_TIMEOUTS = (5.0, 15.0)  # seconds for a connection, and for the reply; the specification advises 15 to 30
_SECONDS = 25.0  # for the whole attempt, also where the reply comes drop by drop; well below the claim's two minutes
_IDLE_SECONDS = 2.0  # between two looks for an event that is due
_FIRST_PAUSE, _LONGEST_PAUSE = 1.0, 60.0  # of the whole loop, while the program takes nothing
_LONGEST_WISH = 6 * 3600.0  # that a program may utter by Retry-After
_GONE = 410


class NotTaken(TapekeeperError):
    """The program did not take the event. The message says what it answered; `status` is None without an answer."""

    def __init__(self, message: str, *, status: int | None = None, retry_after: float | None = None) -> None:
        super().__init__(message, retry_after=retry_after)
        self.status = status


class Program:
    """The address that events are sent to. `secrets` are `whsec_…`: during a rotation each of them signs.

    The address may hold secrets, so no message shows more of it than the host. Safe for threads.
    """

    def __init__(
        self,
        url: str,
        secrets: Sequence[str],
        *,
        session: requests.Session | None = None,
        timeouts: tuple[float, float] = _TIMEOUTS,
        seconds: float = _SECONDS,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        self._url = url
        self._signers = [Webhook(secret) for secret in secrets]
        self._session = session or _session()
        self._timeouts = timeouts
        self._limit = TimeLimit(seconds, most=4)
        self._clock = clock
        self.host = urlsplit(url).hostname or ""

    def send(self, message_id: str, body: str) -> str:
        """Send one event. Returns what was answered; raises `NotTaken` for anything but a 2xx."""
        try:
            status, headers = self._limit.call(lambda: self._post(message_id, body), name="tapekeeper-event")
        # requests quotes the address in its errors, so only their kind is told.
        except (requests.RequestException, OSError, ValueError) as error:
            raise NotTaken(f"{self.host} could not be reached ({type(error).__name__}).") from None
        except NoAnswer as error:
            raise NotTaken(f"{self.host} did not answer: {error}.") from None
        if 200 <= status < 300:
            return f"HTTP {status}"
        wish = parse_retry_after(headers.get("Retry-After"), self._clock())
        raise NotTaken(f"{self.host} answered HTTP {status}{_meaning(status)}.", status=status, retry_after=wish)

    def close(self) -> None:
        """Close the connections; a later event opens new ones."""
        self._session.close()

    def _post(self, message_id: str, body: str) -> tuple[int, requests.structures.CaseInsensitiveDict[str]]:
        reply = self._session.post(
            self._url,
            data=body.encode(),
            headers=self.signed_headers(message_id, body),
            auth=lambda request: request,  # else an entry in ~/.netrc is sent to the program
            timeout=self._timeouts,
            allow_redirects=False,  # the body would go to whomever the program names
            stream=True,  # the reply's body is not read: it may be endless
        )
        with reply:
            return reply.status_code, reply.headers

    def signed_headers(self, message_id: str, body: str) -> dict[str, str]:
        """The headers of one attempt: its time is signed too, so that it cannot be replayed by a stranger."""
        now = self._clock()
        return {
            "Content-Type": "application/json",
            "User-Agent": "tapekeeper",
            "webhook-id": message_id,
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": " ".join(signer.sign(message_id, now, body) for signer in self._signers),
        }


class EventLoop:
    """Sends the events that are due to a program, one after the other. `backoff` gives the seconds after n attempts.

    While the program takes nothing, the whole loop pauses longer and longer, up to a minute: one program answers all
    events, so a program that is down is asked once a minute, and not once for each event.
    """

    def __init__(
        self,
        events: OutgoingEvents,
        program: Program,
        backoff: Callable[[int], float],
        *,
        idle: float = _IDLE_SECONDS,
        first_pause: float = _FIRST_PAUSE,
    ) -> None:
        self._events = events
        self._program = program
        self._backoff = backoff
        self._idle = idle
        self._first_pause = first_pause

    def run(self, stopping: threading.Event) -> None:
        """Send until `stopping` is set. A database that is away is waited for."""
        refused = 0
        while not stopping.is_set():
            try:
                was_accepted = self.send_next()
            except CatalogueUnavailable as error:
                log.warning("Events for programs wait for the database. %s", error)
                was_accepted = None
            refused = refused + 1 if was_accepted is False else 0
            if was_accepted is None:
                stopping.wait(self._idle)
            elif refused:
                stopping.wait(min(_LONGEST_PAUSE, self._first_pause * 2.0 ** min(refused - 1, 20)))

    def send_next(self) -> bool | None:
        """Make one attempt at the next event that is due. Whether it was taken; None: no event is due."""
        event = self._events.claim_next()
        if event is None:
            return None
        try:
            answer = self._program.send(event.message_id, event.body)
        except NotTaken as error:
            self._note_refusal(event, error)
            return False
        self._events.delivered(event, answer)
        return True

    def _note_refusal(self, event: OutgoingEvent, error: NotTaken) -> None:
        name = f"The event {event.id} ({event.type} of {event.subject})"
        if error.status == _GONE:
            self._events.failed(event, str(error))
            log.error("%s is given up. %s Mend EVENT_WEBHOOK_URL; then: flask notify replay --failed", name, error)
            return
        delay = max(self._backoff(event.attempts), min(error.retry_after or 0.0, _LONGEST_WISH))
        if self._events.retry_later(event, str(error), delay):
            log.warning("%s was not taken. %s Next attempt in %.0f s.", name, error, delay)
        else:
            log.error("%s is given up after 5 days. %s Once that is mended: flask notify replay --failed", name, error)


def _meaning(status: int) -> str:
    if 300 <= status < 400:
        return ", a redirect, which is not followed: write the address where it leads into EVENT_WEBHOOK_URL"
    return ", which means that nobody wants events there any more" if status == _GONE else ""


def _session() -> requests.Session:
    """A session that keeps no cookies: a request carries nothing from an earlier reply."""
    session = requests.Session()
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    return session
