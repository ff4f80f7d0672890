"""A plugin's backend, held so that it ends nothing but its own call.

`sys.exit()` in a plugin, or an error that is no `Exception`, would end the thread that called it, or the process. Here
it becomes an error that names the plugin and is tried again. Other errors pass as they are: the heart judges them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

from recordings.errors import StorageUnavailable
from recordings.storage import AudioSource, ObjectInfo, PutResult, StorageBackend

Answer = TypeVar("Answer")


class BrokeOff(StorageUnavailable):
    """A plugin raised what would end a thread or the process."""


class ContainedBackend:
    """The same backend. `plugin` names it in messages."""

    def __init__(self, backend: StorageBackend, plugin: str) -> None:
        self._backend = backend
        self._plugin = plugin

    def __repr__(self) -> str:
        return repr(self._backend)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._backend, name)

    def put(self, key: str, source: AudioSource, *, content_type: str, metadata: Mapping[str, str]) -> PutResult:
        """See `recordings.storage.StorageBackend`, as for all of these."""
        return self._call("put", lambda: self._backend.put(key, source, content_type=content_type, metadata=metadata))

    def head(self, key: str) -> ObjectInfo:
        return self._call("head", lambda: self._backend.head(key))

    def get(self, key: str, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        with self._contained("get"):
            yield from self._backend.get(key, start, end)

    def delete(self, key: str) -> None:
        self._call("delete", lambda: self._backend.delete(key))

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        with self._contained("list"):
            yield from self._backend.list(prefix)

    def signed_url(self, key: str, expires_in: int) -> str | None:
        return self._call("signed_url", lambda: self._backend.signed_url(key, expires_in))

    def check(self) -> None:
        self._call("check", lambda: self._backend.check())

    def close(self) -> None:
        self._call("close", lambda: self._backend.close())

    def _call(self, method: str, function: Callable[[], Answer]) -> Answer:
        with self._contained(method):
            return function()

    @contextmanager
    def _contained(self, method: str) -> Iterator[None]:
        try:
            yield
        except (Exception, KeyboardInterrupt, GeneratorExit):
            raise
        except BaseException as error:
            kind = type(error).__name__
            raise BrokeOff(f"The plugin {self._plugin} broke off in {method}: {kind}: {error}. Mend it.") from error
