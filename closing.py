"""How a process ends: its open parts are closed one after the other, all of them within one deadline.

The database may be away, and a store may hang: then the waits of the parts would add up to more than gunicorn and
Heroku allow before they kill the process. What each part does at its end is decided in the part; `wsgi` has the parts.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import Any

from recordings.errors import CatalogueUnavailable
from recordings.timeouts import Deadline

# The engine takes 18 s for the copies in work. With the 2 s that `server.STOP_SECONDS` gives to requests this is less
# than the `graceful_timeout` in gunicorn.conf.py.
CLOSE_SECONDS = 21.0
_ENGINE_SECONDS = 19.0  # so that the parts after it have some time, too
_THREADS_SECONDS = 2.0  # for threads that were told to stop, to leave the database alone before it is closed
_LEAST_SECONDS = 0.1  # for each part, also after the deadline

# The parts that hold something open, and the method that ends each: workers first, the database last.
_ORDER = (
    *(("serving", "close"), ("waveforms", "stop"), ("nightly", "stop"), ("engine", "stop"), ("workers", "leave")),
    *(("heartbeat", "release_all"), ("webhook_context", "close"), ("hooks", "close"), ("supervisor", "stop")),
    *(("storages", "close"), ("replicator", "close"), ("fetcher", "close"), ("telling", "close")),
    ("database", "close"),
)

# Of these, those that work beside the requests of a web process: they can end while its last requests are answered.
_BESIDE_REQUESTS = ("waveforms", "nightly", "engine")

log = logging.getLogger(__name__)

Closings = Iterable[tuple[str, Callable[[], object]]]


def closings_of(parts: Mapping[str, Any]) -> Iterator[tuple[str, Callable[[], object]]]:
    """What is open among these parts, with the function that closes it, in the order in which that has to happen."""
    for name, method in _ORDER:
        if name == "storages":
            yield from ((url, backend.close) for url, backend in parts.get(name, {}).items())
        elif name in parts:
            close = getattr(parts[name], method)
            yield name, partial(close, _THREADS_SECONDS) if name == "supervisor" else close


def beside_requests(parts: Mapping[str, Any]) -> Iterator[tuple[str, Callable[[], object]]]:
    """As `closings_of`, for the parts that no request needs. Each may be closed again."""
    return closings_of({name: parts[name] for name in _BESIDE_REQUESTS if name in parts})


def close_all(closings: Closings, deadline: Deadline) -> None:
    """Call these functions in their order. One that fails, or that takes too long, is logged and keeps no other open.

    A function that is given up on runs on in its thread, which the end of the process ends.
    """
    for name, close in closings:
        limit = _ENGINE_SECONDS if name == "engine" else deadline.left()
        _close(name, close, max(_LEAST_SECONDS, min(limit, deadline.left())))


def _close(name: str, close: Callable[[], object], seconds: float) -> None:
    def run() -> None:
        try:
            close()
        except CatalogueUnavailable as error:
            log.warning("%s could not be closed in order. %s", name, error)
        except BaseException:  # a plugin's storage may raise anything, and may exit
            log.exception("%s could not be closed; everything else is closed all the same.", name)

    closing = threading.Thread(target=run, name=f"tapekeeper-close-{name}", daemon=True)
    try:
        closing.start()
    except RuntimeError:
        # The system has no thread to give, or the interpreter ends: https://docs.python.org/3/library/atexit.html
        run()
        return
    closing.join(seconds)
    if closing.is_alive():
        log.error("%s was not closed within %.1f s; everything else is closed all the same.", name, seconds)
