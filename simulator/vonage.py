"""The pretend Vonage as one object: a file host on a loopback port, and a telephone.

Here lives what tests, the demo, benchmarks and `flask simulate` use; everything behind it may change.
"""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Iterable, Mapping
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlencode

import requests

from . import events
from .calls import CallInProgress, Plan
from .delivery import Courier
from .loopback import ServerThread, Stranger, Visit
from .misbehaviour import check_faults
from .results import CallResult, SentEvent
from .server import create_app
from .shelf import ServedFile, Shelf
from .signing import Clock, Signer
from .sounds import CONTENT_TYPES, Sound, Synthetic, speech

FLOWS = ("voicemail", "call", "split", "conversation", "moderated")


class PretendVonage:
    """A Vonage for one application. A context manager; `start()` and `close()` do the same by hand.

    `public_key_pem` is the public half of the application's key: downloads must carry a token of the private one.
    `signature_secret` signs the webhooks. Port 0 takes any free port; `origin` says which.
    With `sized_ids`, `<origin>/v1/files/sized-<bytes>-<anything>` needs no adding.
    """

    def __init__(
        self,
        application_id: str,
        public_key_pem: str | bytes,
        signature_secret: str,
        host: str = "127.0.0.1",
        port: int = 0,
        *,
        api_key: str = "a1b2c3d",
        sized_ids: bool = False,
        session: requests.Session | None = None,
        clock: Clock = time.time,
    ) -> None:
        self.files = Shelf(sized_ids=sized_ids)
        self._clock = clock
        self._closing = threading.Event()
        self._courier = Courier(Signer(signature_secret, api_key, application_id), session=session, clock=clock)
        self._stranger = Stranger(self.files)
        self._other = ServerThread(self._stranger, host)
        app = create_app(
            application_id,
            public_key_pem,
            shelf=self.files,
            stranger_origin=self._other.origin,
            closing=self._closing,
            clock=clock,
        )
        try:
            self._server = ServerThread(app, host, port)
        except OSError:
            self._other.close()
            raise
        self.origin = self._server.origin
        self.stranger_origin = self._other.origin

    def start(self) -> Self:
        """Serve from now on."""
        self._server.start()
        self._other.start()
        return self

    def close(self) -> None:
        """Stop serving; replies that wait on purpose end."""
        self._closing.set()
        self._server.close()
        self._other.close()
        self._courier.close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # --- Files -------------------------------------------------------------------------------------------------------

    def add_file(
        self,
        content: bytes | Sound | None = None,
        *,
        format: str = "mp3",
        channels: int = 1,
        size: int | None = None,
        file_id: str | None = None,
        content_type: str | None = None,
        faults: Iterable[str] = (),
        old_url: bool = False,
    ) -> ServedFile:
        """Offer a file for download: these bytes, or `size` bytes of synthetic MP3, or real speech.

        `faults` are the misbehaviours of the first requests, in order (`simulator.misbehaviour.FAULTS`, or a status
        such as "404"); after them the file is served as it is. `old_url` announces it as `/media/download?id=`.
        """
        file_id = file_id if file_id is not None else str(uuid.uuid4())
        audio, sound = self._audio(content, format, channels, size, file_id)
        path = f"/media/download?id={file_id}" if old_url else f"/v1/files/{file_id}"
        file = ServedFile(
            file_id,
            audio,
            content_type or (sound.content_type if sound else CONTENT_TYPES[format]),
            sound.format if sound else format,
            sound.channels if sound else channels,
            self.origin + path,
        )
        file.faults.extend(check_faults(faults))
        return self.files.add(file)

    @staticmethod
    def _audio(
        content: bytes | Sound | None, format: str, channels: int, size: int | None, file_id: str
    ) -> tuple[bytes | Synthetic, Sound | None]:
        if isinstance(content, bytes):
            return content, None
        if size is not None:
            return Synthetic(size, file_id), None
        sound = content or speech(format, channels, file_id)
        return sound.content, sound

    @property
    def stranger_visits(self) -> list[Visit]:
        """Each request that reached the other origin; `visit.leaked` when it carried an Authorization header."""
        return list(self._stranger.visits)

    # --- Calls and events --------------------------------------------------------------------------------------------

    def place_call(self, *answer_urls: str, **plan: Any) -> CallResult:
        """Call the application: one leg for each answer URL; legs meet in the conversations that their NCCOs name.

        The keywords are the fields of `simulator.calls.Plan`: `event_url`, `fallback_url`, `method`, `caller`, `to`,
        `params`, `file_faults`, `event_fault`, `answer_fault`, `empty`. Returns when the last event was answered.
        """
        chosen = Plan(**{**plan, "file_faults": tuple(check_faults(plan.get("file_faults", ())))})
        call = CallInProgress(chosen, self._courier, self._add_recorded, self._clock)
        for url in answer_urls:
            call.place(url)
        return call.hang_up()

    def call_flow(self, base_url: str, flow: str, *, name: str = "demo-room", **plan: Any) -> CallResult:
        """Call one of the application's five flows under `<base_url>/webhooks/`, events to `/webhooks/events`.

        `moderated` is two legs, an attendee and then the moderator, in the conversation `name`.
        """
        plan.setdefault("event_url", f"{base_url}/webhooks/events")
        return self.place_call(*answer_urls(base_url, flow, name), **plan)

    def _add_recorded(self, sound: Sound, faults: tuple[str, ...]) -> ServedFile:
        return self.add_file(sound, faults=faults)

    def recording_event(self, file: ServedFile | None = None, **changes: Any) -> dict[str, Any]:
        """A recording event for this file, None for an empty recording; `changes` replaces or adds fields."""
        now = self._clock()
        url, size = (file.url, file.size) if file else ("", 0)
        ids = str(uuid.uuid4()), events.new_conversation()
        return {**events.recording(*ids, url, size, now - 8, now, now), **changes}

    def post_recording_event(
        self, url: str, payload: Mapping[str, Any] | bytes, *, method: str = "POST", fault: str | None = None
    ) -> SentEvent:
        """Deliver any payload, signed, as an event to `url`; the reply is in the result.

        `payload` may be bytes, sent as they are. `fault` is one of `simulator.delivery.EVENT_FAULTS`: a token with the
        wrong hash, secret, issuer, age or none at all, or the event twice.
        """
        return self._courier.send_event(url, payload, method=method, fault=fault)


def answer_urls(base_url: str, flow: str, name: str = "demo-room") -> list[str]:
    """The answer URL of each leg of a flow, in the order in which the legs call."""
    if flow not in FLOWS:
        raise ValueError(f"There is no call flow {flow!r}; known are {', '.join(FLOWS)}.")
    url = f"{base_url}/webhooks/answer/{flow}"
    if flow == "conversation":
        return [f"{url}?{urlencode({'name': name})}"]
    if flow == "moderated":
        return [f"{url}?{urlencode({'name': name})}", f"{url}?{urlencode({'name': name, 'role': 'moderator'})}"]
    return [url]
