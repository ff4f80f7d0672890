"""What a promise works with: a backend, a corner of its own below a prefix, and a child process to kill.

Knows how to use a backend and how to clear up; what must be true is in `plugins.promises`.
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

from recordings.storage import StorageBackend

from .fakes import FakeSource, pieces

LARGE_BYTES = 64 * 1024 * 1024
CONTENT_TYPE = "audio/mpeg"
METADATA = {"recording_uuid": "aaaaaaaa-bbbb-cccc-dddd-0123456789ab", "start_time": "2026-11-22T09:00:00Z"}
PATIENCE = 60.0  # seconds for anything that happens in another thread or process


def told(answer: Any, name: str) -> Any:
    """What `put`, `head` or `list` said under `name`, whether they answer with mappings or with objects."""
    return answer.get(name) if isinstance(answer, Mapping) else getattr(answer, name, None)


@dataclass(slots=True)
class Trial:
    """One promise's workplace: every key below `corner`."""

    backend: StorageBackend
    corner: str
    spawn_url: str | None
    spawn_env: Mapping[str, str]
    large_bytes: int
    used: set[str] = field(default_factory=set)

    def key(self, name: str = "a.mp3") -> str:
        """A key in the corner, remembered for clearing up."""
        key = f"{self.corner}/{name}"
        self.used.add(key)
        return key

    def put(self, key: str, source: FakeSource, metadata: Mapping[str, str] = METADATA) -> Any:
        """Store it as the pipeline would."""
        return self.backend.put(key, source, content_type=CONTENT_TYPE, metadata=metadata)

    def read(self, key: str, start: int = 0, end: int | None = None) -> bytes:
        """All that `get` gives."""
        return b"".join(self.backend.get(key, start, end))

    def listed(self, prefix: str | None = None) -> list[str]:
        """The keys that `list` gives, in its order."""
        return [told(info, "key") for info in self.backend.list(self.corner + "/" if prefix is None else prefix)]

    def holds(self, key: str, seed: int, size: int) -> bool:
        """Whether the object is exactly `body(seed, 0, size)`; compared in pieces, as it may be large."""
        rest, expected = b"", pieces(seed, size, 256 * 1024)
        for piece in self.backend.get(key):
            rest += piece
            while len(rest) >= 256 * 1024:
                if rest[: 256 * 1024] != next(expected, None):
                    return False
                rest = rest[256 * 1024 :]
        return rest == b"".join(expected)

    def lookup_error(self, key: str) -> BaseException | None:
        """What `head` raises for the key, or None when it answers."""
        try:
            self.backend.head(key)
        except Exception as error:  # the caller judges it
            return error
        return None

    def missing(self, key: str) -> bool:
        """Whether `head` says that nothing is there, in the way that it must."""
        error = self.lookup_error(key)
        return type(error).__name__ == "ObjectNotFound" or isinstance(error, FileNotFoundError)

    def clear_up(self) -> str:
        """Delete what this promise stored; what could not be deleted, or an empty text."""
        problems = []
        for key in self.used:
            try:
                self.backend.delete(key)
            except Exception as error:  # told in the verdict
                problems.append(f"{key}: {type(error).__name__}: {error}")
        return "; ".join(problems)


def aside(action: Callable[[], Any]) -> Any:
    """The outcome of an action done in another thread; TimeoutError when it does not come back."""
    outcome: Future[Any] = Future()

    def work() -> None:
        try:
            outcome.set_result(action())
        except Exception as error:  # raised again where the outcome is asked for
            outcome.set_exception(error)

    threading.Thread(target=work, daemon=True).start()
    return outcome.result(PATIENCE)


def kill_in_mid_put(trial: Trial, key: str, size: int) -> None:
    """Start a process that opens the store by `spawn_url` and puts; SIGKILL it when half of the source is read."""
    kind = type(trial.backend)
    order = {
        "module": kind.__module__,
        "file": inspect.getfile(kind),
        "name": kind.__qualname__,
        "url": trial.spawn_url,
        "env": dict(trial.spawn_env),
        "key": key,
        "size": size,
    }
    child = subprocess.Popen(
        [sys.executable, "-m", "plugins.contract", "--child-put"],
        cwd=Path(__file__).resolve().parent.parent,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    alarm = threading.Timer(PATIENCE, child.kill)
    alarm.start()
    pipes: Any = child
    try:
        # By the pipe, not the command line: the environment holds secrets, and command lines are public.
        pipes.stdin.write(json.dumps(order).encode() + b"\n")
        pipes.stdin.flush()
        word = pipes.stdout.readline()
    finally:
        child.kill()
        alarm.cancel()
        child.communicate()
    if word.strip() != b"half":
        raise RuntimeError("the child process ended before it was half through; what it said is above")


def child_put() -> None:
    """The child of `kill_in_mid_put`: reads its order from stdin, says `half` in mid-put and waits to be killed."""
    order = json.loads(sys.stdin.readline())

    def gate(position: int) -> None:
        if position and position >= order["size"] // 2:
            print("half", flush=True)
            time.sleep(PATIENCE)

    backend = _class(order).from_url(order["url"], order["env"])
    source = FakeSource(order["size"], on_read=gate)
    backend.put(order["key"], source, content_type=CONTENT_TYPE, metadata=METADATA)


def _class(order: Mapping[str, Any]) -> type[StorageBackend]:
    try:
        module = importlib.import_module(order["module"])
    except ModuleNotFoundError:  # a drop-in file: it has no importable name
        spec = importlib.util.spec_from_file_location(order["module"], order["file"])
        if spec is None or spec.loader is None:
            raise
        module = importlib.util.module_from_spec(spec)
        sys.modules[order["module"]] = module
        spec.loader.exec_module(module)
    found: Any = module
    for name in order["name"].split("."):
        found = getattr(found, name)
    return cast("type[StorageBackend]", found)
