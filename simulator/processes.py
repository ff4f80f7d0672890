"""What a caller needs that starts processes and waits for them: a port, an environment, a condition that comes true.

The application's own processes are in `application`.
"""

from __future__ import annotations

import contextlib
import os
import socket
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

# What a child process needs of our own environment. The rest stays out, so that a DATABASE_URL or STORAGE_URL of the
# person who runs the demo or the tests cannot lead the application to a real store.
_PASSED_ON = (
    *("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "VIRTUAL_ENV", "LD_LIBRARY_PATH", "SSL_CERT_FILE"),
    "COVERAGE_PROCESS_START",
)


class ApplicationError(Exception):
    """The application did not start, or one of its commands failed; the message says what to do."""


class TooLate(ApplicationError):
    """Something did not happen in time."""


def wait_for(
    condition: Callable[[], Any],
    what: str,
    limit: float = 30,
    *,
    pause: float = 0.02,
    more: Callable[[], str] = lambda: "",
) -> Any:
    """The first true value of the condition. After `limit` seconds `TooLate`, whose message has `what` and `more()`."""
    end = time.monotonic() + limit
    while not (value := condition()):
        if time.monotonic() > end:
            raise TooLate(f"Not within {limit:.0f} s: {what}\n{more()}".strip())
        time.sleep(pause)
    return value


def free_port() -> int:
    """A loopback port for a server that binds it by its number, now and after each restart.

    On Linux no other process is given it while this process lives. Elsewhere it was free a moment ago.
    """
    probe = socket.socket()
    probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    probe.bind(("127.0.0.1", 0))
    port: int = probe.getsockname()[1]
    if sys.platform == "linux":
        # Linux gives a bound port to no socket that asks for any port, or connects. A server that names this port and
        # sets SO_REUSEADDR gets it, because nothing listens there: "SO_REUSEADDR" in socket(7). So it is never closed.
        probe.detach()
    else:
        probe.close()
    return port


def forked_by(pid: int) -> list[int]:
    """The children of a process, by the word of Linux; none once it has ended."""
    with contextlib.suppress(OSError):
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return []


def environment(settings: Mapping[str, str]) -> dict[str, str]:
    """The whole environment of a child process: these settings, and of our own environment only what it needs."""
    inherited = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    return {**inherited, "FLASK_SKIP_DOTENV": "1", "PYTHONUNBUFFERED": "1", **settings}
