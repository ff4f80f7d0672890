"""What a shell's background job inherits: SIGINT and SIGQUIT ignored, and so would every process that it starts."""

from __future__ import annotations

import signal
import threading


def listen_again() -> None:
    """Take the default back for both, so that servers which are told to stop do. Only a main thread may."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGQUIT, signal.SIG_DFL)
