"""What a check works with: a backend, keys below a prefix of its own, a child process to kill, and `expect`.

This module uses a backend and cleans up after a check. What must be true of a backend is in `plugins.checks`.
"""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from recordings.messages import message_of
from recordings.storage import StorageBackend

from .fakes import FakeSource, pieces

LARGE_BYTES = 64 * 1024 * 1024
CONTENT_TYPE = "audio/mpeg"
METADATA = {"recording_uuid": "aaaaaaaa-bbbb-cccc-dddd-0123456789ab", "start_time": "2026-11-22T09:00:00Z"}
TIMEOUT = 60.0  # seconds that anything in another thread or process may take


class PromiseBroken(Exception):
    """The backend does not keep the promise; the message says what it did instead."""


class NotTried(Exception):
    """The promise cannot be tried here; the message says why."""


def expect(condition: bool, otherwise: str) -> None:
    """Raise `PromiseBroken` with the text `otherwise` unless the condition is true."""
    if not condition:
        raise PromiseBroken(otherwise)


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer of `put`, `head` or `list`, read by attributes whether it is a mapping or an object.

    A field that the answer does not have is None.
    """

    raw: Any

    def __getattr__(self, name: str) -> Any:
        return self.raw.get(name) if isinstance(self.raw, Mapping) else getattr(self.raw, name, None)


@dataclass(slots=True)
class Sandbox:
    """Where one check runs: a backend, of which the check uses only keys below `prefix`."""

    backend: StorageBackend
    prefix: str
    spawn_url: str | None
    spawn_env: Mapping[str, str]
    large_bytes: int
    used: set[str] = field(default_factory=set)

    def key(self, name: str = "a.mp3") -> str:
        """A key below the prefix; `clean_up` will delete it."""
        key = f"{self.prefix}/{name}"
        self.used.add(key)
        return key

    def put(self, key: str, source: FakeSource, metadata: Mapping[str, str] = METADATA) -> Answer:
        """Store the source as the archive does."""
        return Answer(self.backend.put(key, source, content_type=CONTENT_TYPE, metadata=metadata))

    def head(self, key: str) -> Answer:
        """What `head` answers."""
        return Answer(self.backend.head(key))

    def read(self, key: str, start: int = 0, end: int | None = None) -> bytes:
        """All bytes that `get` gives."""
        return b"".join(self.backend.get(key, start, end))

    def listed(self, prefix: str | None = None) -> list[str]:
        """The keys that `list` gives, in its order."""
        return [Answer(info).key for info in self.backend.list(self.prefix + "/" if prefix is None else prefix)]

    def holds(self, key: str, seed: int, size: int) -> bool:
        """Whether the object is exactly `body(seed, 0, size)`; compared piece by piece, because it may be large."""
        rest, expected = b"", pieces(seed, size, 256 * 1024)
        for piece in self.backend.get(key):
            rest += piece
            while len(rest) >= 256 * 1024:
                if rest[: 256 * 1024] != next(expected, None):
                    return False
                rest = rest[256 * 1024 :]
        return rest == b"".join(expected)

    def head_error(self, key: str) -> BaseException | None:
        """The error that `head` raises for the key; None when `head` answers."""
        try:
            self.backend.head(key)
        except Exception as error:  # the caller checks its class
            return error
        return None

    def read_error(self, key: str) -> BaseException | None:
        """The error that `get` raises for the key; None when `get` answers."""
        try:
            self.read(key)
        except Exception as error:  # the caller checks its class
            return error
        return None

    def missing(self, key: str) -> bool:
        """Whether `head` says by the right error that the key holds no object."""
        error = self.head_error(key)
        return type(error).__name__ == "ObjectNotFound" or isinstance(error, FileNotFoundError)

    def clean_up(self) -> str:
        """Delete what the check stored; the answer names the keys that could not be deleted, or is empty."""
        problems = []
        for key in self.used:
            try:
                self.backend.delete(key)
            except (Exception, SystemExit) as error:  # the check's result reports it
                problems.append(f"{key}: {type(error).__name__}: {message_of(error)}")
        return "; ".join(problems)


def run_in_thread(action: Callable[[], Any]) -> Any:
    """Run the action in another thread and return what it returns; TimeoutError when it does not end in time."""
    outcome: Future[Any] = Future()

    def work() -> None:
        try:
            outcome.set_result(action())
        except BaseException as error:  # raised again where the outcome is asked for
            outcome.set_exception(error)

    threading.Thread(target=work, daemon=True).start()
    return outcome.result(TIMEOUT)


def kill_in_mid_put(sandbox: Sandbox, key: str, size: int) -> None:
    """Start a process that opens the store by `spawn_url` and calls `put`; SIGKILL it once half the source is read."""
    backend_class = type(sandbox.backend)
    order = {
        "module": backend_class.__module__,
        "file": inspect.getfile(backend_class),
        "name": backend_class.__qualname__,
        "url": sandbox.spawn_url,
        "env": dict(sandbox.spawn_env),
        "key": key,
        "size": size,
    }
    child = subprocess.Popen(
        [sys.executable, "-m", "plugins.contract", "--child-put"],
        cwd=Path(__file__).resolve().parent.parent,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    alarm = threading.Timer(TIMEOUT, child.kill)
    alarm.start()
    pipes: Any = child
    try:
        # Through the pipe, not on the command line: the environment holds secrets, and command lines are public.
        pipes.stdin.write(json.dumps(order).encode() + b"\n")
        pipes.stdin.flush()
        answer = pipes.stdout.readline()
    finally:
        child.kill()
        alarm.cancel()
        child.communicate()
    if answer.strip() != b"half":
        raise RuntimeError("the child process ended before it had read half of the source; its error output is above")


def child_put() -> None:
    """The child of `kill_in_mid_put`: reads its order from stdin, prints `half` in mid-put, waits for the kill."""
    order = json.loads(sys.stdin.readline())

    def gate(position: int) -> None:
        if position and position >= order["size"] // 2:
            print("half", flush=True)
            time.sleep(TIMEOUT)

    backend = _backend_class(order).from_url(order["url"], order["env"])
    source = FakeSource(order["size"], on_read=gate)
    backend.put(order["key"], source, content_type=CONTENT_TYPE, metadata=METADATA)


def _backend_class(order: Mapping[str, Any]) -> type[StorageBackend]:
    try:
        module = importlib.import_module(order["module"])
    except ModuleNotFoundError:  # a drop-in plugin: it cannot be imported by a name
        spec = importlib.util.spec_from_file_location(order["module"], order["file"])
        if spec is None or spec.loader is None:
            raise
        module = importlib.util.module_from_spec(spec)
        sys.modules[order["module"]] = module
        spec.loader.exec_module(module)
    target: Any = module
    for name in order["name"].split("."):
        target = getattr(target, name)
    return cast("type[StorageBackend]", target)
