"""Makes the waveforms of stored recordings, one at a time, beside archiving and after it.

Archiving waits for none of it: the work has a thread of its own, decodes in a process of the lowest priority, and holds
no lease on a copy.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping

from recordings.catalogue.waveforms import WaveformClaim, Waveforms
from recordings.errors import CatalogueUnavailable, StorageUnavailable, TapekeeperError
from recordings.messages import message_of
from recordings.model import Copy, Recording, State, Waveform
from recordings.storage import StorageBackend
from recordings.timeouts import NoAnswer, TimeLimit

from .decoder import Decoder, DecoderEnded
from .peaks import Unreadable

log = logging.getLogger(__name__)

_STORE_SECONDS = 60.0  # for one range of a quarter of a megabyte
_FIRST_REST, _LONGEST_REST = 60.0, 3600.0  # after a failure that is not the audio's


class WaveformMaker:
    """Measures what `waveforms` gives it, in the copies in `storages`, each by the URL that the copies know it by."""

    def __init__(
        self,
        waveforms: Waveforms,
        storages: Mapping[str, StorageBackend],
        start_thread: Callable[[str, Callable[[], None]], threading.Thread],
        *,
        decoder: Decoder | None = None,
        store_limit: TimeLimit | None = None,
        ticks: Callable[[], float] = time.monotonic,
    ) -> None:
        self._waveforms = waveforms
        self._storages = storages
        self._start_thread = start_thread
        self._decoder = decoder or Decoder()
        self._store_limit = store_limit or TimeLimit(_STORE_SECONDS, most=4)
        self._ticks = ticks
        self._thread: threading.Thread | None = None
        self._stopping = threading.Event()
        self._failures = 0  # one after another
        self._rests_until = 0.0

    def start(self) -> None:
        """Make what can be made now, in a thread of its own; nothing happens if that thread still runs."""
        busy = self._thread is not None and self._thread.is_alive()
        if not busy and not self._stopping.is_set() and self._ticks() >= self._rests_until:
            self._thread = self._start_thread("tapekeeper-waveforms", self._run)

    def stop(self) -> None:
        """Break off what is being made; it is made another time."""
        self._stopping.set()
        self._decoder.stop()

    def make_next(self) -> bool:
        """Measure one recording, and write down what came of it. False: there was none, or its store must rest."""
        claim = self._waveforms.take(self._storages)
        if claim is None:
            return False
        try:
            self._waveforms.made(claim, self._measure(claim.recording))
        except Unreadable as problem:
            self._give_up(claim, problem)
        except CatalogueUnavailable:
            raise
        except Exception as error:  # whatever a stranger's backend raises
            self._note_failure(claim, error)
            return False
        self._failures = 0
        return True

    def _run(self) -> None:
        try:
            while not self._stopping.is_set() and self.make_next():
                pass
        except CatalogueUnavailable as error:
            log.warning("Waveforms wait: %s", error)

    # --- Measuring ---------------------------------------------------------------------------------------------------

    def _measure(self, recording: Recording) -> Waveform:
        """From the first copy that can be read."""
        problem: Exception = TapekeeperError("No configured storage has a stored copy of it.")
        for copy in recording.copies:
            backend = self._storages.get(copy.storage)
            if copy.state is not State.STORED or backend is None:
                continue
            try:
                return self._measure_copy(copy, backend)
            except DecoderEnded:
                raise
            except Exception as error:  # whatever a stranger's backend raises: another copy may be readable
                problem = error
        raise problem

    def _measure_copy(self, copy: Copy, backend: StorageBackend) -> Waveform:
        key, size = copy.key or "", copy.size or 0

        def fetch(start: int, end: int) -> bytes:
            try:
                return self._store_limit.call(lambda: b"".join(backend.get(key, start, end)), name="tapekeeper-audio")
            except NoAnswer as error:
                raise StorageUnavailable(f"{copy.storage} did not give the audio: {error}.") from None

        return self._decoder.waveform(size, fetch)

    # --- What came of it ---------------------------------------------------------------------------------------------

    def _give_up(self, claim: WaveformClaim, problem: Unreadable) -> None:
        self._waveforms.failed(claim, message_of(problem), final=True)
        log.warning("No waveform of %s: %s It is not tried again.", claim.recording.recording_uuid, problem)

    def _note_failure(self, claim: WaveformClaim, error: Exception) -> None:
        if self._stopping.is_set():
            self._waveforms.give_back(claim)
            return
        reason = message_of(error)
        again = self._waveforms.failed(claim, reason)
        if claim.attempts == 1 or not again:
            future = "It is tried again." if again else "It is not tried again."
            log.warning("No waveform of %s: %s %s", claim.recording.recording_uuid, reason, future)
        # A store that is away must not use up the attempts of every recording.
        self._rests_until = self._ticks() + min(_LONGEST_REST, _FIRST_REST * 2**self._failures)
        self._failures += 1
