"""The hooks that a plugin may implement: their documentation is this file.

A plugin needs no import of ours. It makes its own marker and names its functions after the hooks::

    import pluggy

    hookimpl = pluggy.HookimplMarker("tapekeeper")

    @hookimpl
    def register_storage_backends():
        return {"memory": MemoryStorage}

What a hook is given (`recording`, `copy`, `call`) is read-only; the names are those of `recordings.model`.
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

    All plugins are asked. A scheme that two plugins give stops the start and names both.
    """


@hookspec(firstresult=True)
def object_key(recording: Recording) -> str | None:
    """The key under which this recording's audio is stored, or None for the next plugin or `STORAGE_KEY_TEMPLATE`.

    It must be the same at every call and hold the recording_uuid. An illegal key is reported and the template used.
    """


@hookspec
def recording_stored(recording: Recording, copy: Copy) -> None:
    """A copy was stored and verified. May be called again for the same copy after a crash. Errors are logged only."""


@hookspec
def recording_failed(recording: Recording, copy: Copy, error: BaseException, will_retry: bool) -> None:
    """An attempt at a copy failed; `will_retry` says whether another follows by itself. Errors are logged only."""


@hookspec
def recording_missing(call: Call) -> None:
    """A call that was answered and told to record has ended, and no recording was announced in time. Told once.

    `call["answered_at"]`, `call["completed_at"]` and the other words of `flask recordings missing --json` are in it.
    The recording may still come late. Errors are logged only.
    """


@hookspec(firstresult=True)
def answer_call(call: Call) -> list[dict[str, Any]] | None:
    """Another NCCO for this call, or None for the configured flow, which also answers when this raises.

    Runs while the caller waits: after 3 seconds the configured flow answers, since Vonage gives up after 5.
    """
