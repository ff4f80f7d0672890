"""The hooks that a plugin may implement: their documentation is this file.

A plugin needs no import of ours. It makes its own marker and names its functions after the hooks::

    import pluggy

    hookimpl = pluggy.HookimplMarker("tapekeeper")

    @hookimpl
    def register_storage_backends():
        return {"memory": MemoryStorage}

The arguments `recording`, `copy` and `call` are read-only; their fields are described in `recordings.model`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pluggy

from recordings.model import Call, Copy, Recording
from recordings.storage import StorageBackend

PROJECT = "tapekeeper"

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@hookspec
def register_storage_backends() -> Mapping[str, str | type[StorageBackend]]:  # type: ignore[empty-body]
    """Storage backends by URL scheme: a class, or `"module:Class"`, which is imported only when it is selected.

    Every plugin is called. Two plugins that give the same scheme stop the start, with an error that names both.
    """


@hookspec(firstresult=True)
def object_key(recording: Recording) -> str | None:
    """The key of this recording's audio, or None for the next plugin; the last one is `STORAGE_KEY_TEMPLATE`.

    The key must be the same at every call and contain the recording_uuid. An illegal key is reported, and the template
    is used instead.
    """


@hookspec
def recording_stored(recording: Recording, copy: Copy) -> None:
    """A copy was stored and verified. May be called again for the same copy after a crash. Errors are only logged."""


@hookspec
def recording_failed(recording: Recording, copy: Copy, error: BaseException, will_retry: bool) -> None:
    """An attempt to store a copy failed; `will_retry`: another attempt follows by itself. Errors are only logged."""


@hookspec
def recording_missing(call: Call) -> None:
    """A call whose NCCO asked to record has ended, and no recording of it was announced in time. Called once a call.

    `call` has the fields of `flask recordings missing --json`: `call["answered_at"]`, `call["completed_at"]`, …
    The recording may still come late. Errors are only logged.
    """


@hookspec(firstresult=True)
def answer_call(call: Call) -> list[dict[str, Any]] | None:
    """An NCCO for this call, or None: then the configured flow answers, as it does when this raises.

    The caller waits meanwhile. After 3 seconds the configured flow answers, because Vonage gives up after 5.
    """
