"""Decodes audio in a process of its own, which asks for the bytes through a pipe and gives the waveform back.

A decoder in C is fed with what came over the network. In a process of its own it can neither crash a worker nor take
its memory or its time; it runs at the lowest priority, and what it prints is thrown away: libmpg123 writes to stderr.

From the child: two numbers, `start` and `end`, ask for a range; -1 and a length announce the result, as JSON. To the
child: the size of the audio, then for each range its length and its bytes.
"""

from __future__ import annotations

import base64
import json
import os
import resource
import struct
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any

from recordings.errors import TapekeeperError
from recordings.model import Waveform

from .peaks import Unreadable, measure
from .seekable import SeekableAudio

DECODE_SECONDS = 900.0  # two hours of mp3 take 13 s of a free core, and this runs after everything else
_CPU_SECONDS = 600
_MEMORY = 2**30
_ROOT = Path(__file__).resolve().parents[2]
_NUMBER, _PAIR = struct.Struct(">q"), struct.Struct(">qq")


class DecoderEnded(TapekeeperError):
    """The child ended without a result: it was stopped, crashed, or used up its time or its memory."""


class Decoder:
    """Measures one recording at a time, each in a new process. `stop` ends the one that runs, from another thread."""

    def __init__(self, *, seconds: float = DECODE_SECONDS) -> None:
        self._seconds = seconds
        self._child: subprocess.Popen[bytes] | None = None
        self._stopped = False
        self._guard = threading.Lock()

    def waveform(self, size: int, fetch: Callable[[int, int], bytes]) -> Waveform:
        """The waveform of audio of `size` bytes. Raises `Unreadable`, `DecoderEnded`, or what `fetch` raises."""
        child = self._start()
        alarm = threading.Timer(self._seconds, child.kill)
        alarm.daemon = True
        alarm.start()
        try:
            return _converse(child, size, fetch)
        except (BrokenPipeError, EOFError):
            raise DecoderEnded(
                f"The decoder ended with status {child.wait()}: it crashed, or took more than {self._seconds:.0f} s or "
                f"{_MEMORY // 2**20} MiB."
            ) from None
        finally:
            alarm.cancel()
            _end(child)

    def stop(self) -> None:
        """End the child, if one runs, and start no other."""
        with self._guard:
            self._stopped = True
            if self._child is not None:
                self._child.kill()

    def _start(self) -> subprocess.Popen[bytes]:
        with self._guard:
            if self._stopped:
                raise DecoderEnded("The worker stops.")
            # A session of its own: Ctrl-C reaches the worker alone, which then ends the child.
            self._child = subprocess.Popen(
                [sys.executable, "-m", __name__],
                cwd=_ROOT,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
            return self._child


def _converse(child: subprocess.Popen[bytes], size: int, fetch: Callable[[int, int], bytes]) -> Waveform:
    """Give the child the ranges that it asks for, until it gives the result."""
    pipes: Any = child
    _send(pipes.stdin, _NUMBER.pack(size))
    while True:
        start, end = _PAIR.unpack(_read(pipes.stdout, _PAIR.size))
        if start < 0:
            return _waveform(json.loads(_read(pipes.stdout, end)))
        piece = fetch(start, end)
        _send(pipes.stdin, _NUMBER.pack(len(piece)) + piece)


def _waveform(result: dict[str, Any]) -> Waveform:
    if "unreadable" in result:
        raise Unreadable(result["unreadable"])
    if "failed" in result:
        raise DecoderEnded(f"The decoder failed. {result['failed']}")
    return Waveform(**result | {"peaks": base64.b64decode(result["peaks"])})


def _end(child: subprocess.Popen[bytes]) -> None:
    child.kill()
    for pipe in (child.stdin, child.stdout):
        if pipe is not None:
            with suppress(OSError):  # what was still to be written to a child that is gone
                pipe.close()
    child.wait()


def _send(pipe: IO[bytes], message: bytes) -> None:
    pipe.write(message)
    pipe.flush()


def _read(pipe: IO[bytes], size: int) -> bytes:
    message = pipe.read(size)
    if len(message) < size:
        raise EOFError
    return message


# --- The child --------------------------------------------------------------------------------------------------------


def serve() -> None:
    """The child's whole life. It ends when the parent does: then the pipe is at its end."""
    _be_modest()
    # Whatever a library prints goes to stderr, which is thrown away, and not between our messages.
    asking, answers = os.fdopen(os.dup(1), "wb"), sys.stdin.buffer
    os.dup2(2, 1)

    def fetch(start: int, end: int) -> bytes:
        _send(asking, _PAIR.pack(start, end))
        (length,) = _NUMBER.unpack(_read(answers, _NUMBER.size))
        return _read(answers, length)

    (size,) = _NUMBER.unpack(_read(answers, _NUMBER.size))
    try:
        waveform = measure(SeekableAudio(size, fetch))
        result = asdict(waveform) | {"peaks": base64.b64encode(waveform.peaks).decode()}
    except Unreadable as error:
        result = {"unreadable": str(error)}
    except Exception as error:  # such as a libsndfile that is not there: the parent says it
        result = {"failed": f"{type(error).__name__}: {error}"}
    message = json.dumps(result).encode()
    _send(asking, _PAIR.pack(-1, len(message)) + message)


def _be_modest() -> None:
    os.nice(19)
    os.putenv("OPENBLAS_NUM_THREADS", "1")  # numpy reserves memory for each thread
    for limit, most in ((resource.RLIMIT_CPU, _CPU_SECONDS), (resource.RLIMIT_AS, _MEMORY), (resource.RLIMIT_CORE, 0)):
        with suppress(ValueError, OSError):  # a system that sets a lower limit, or none
            resource.setrlimit(limit, (most, most))


if __name__ == "__main__":
    serve()
