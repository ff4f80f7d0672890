"""How the archive calls the plugins' hooks: with a time limit, and never in a worker's thread.

A hook may hang, as a request without a time-out does. A worker waits some seconds for a plugin's key. The other hooks
return nothing, so they are called in the background, in order. The key that a plugin gives is checked in `object_keys`;
the errors of plugins are caught in `plugins.manager`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from typing import Protocol

from recordings.model import Call, Copy, Recording
from recordings.timeouts import NoAnswer, TimeLimit

from .object_keys import KeyHooks

log = logging.getLogger(__name__)

_KEY_SECONDS = 10.0  # the worker waits for it
_NOTICE_SECONDS = 30.0  # the next notice waits for it
_MOST_NOTICES = 4  # that hang at the same time


class Hooks(KeyHooks, Protocol):
    """What plugins may say about a recording, and what they are told of it."""

    def listens(self, hook: str) -> bool: ...
    def recording_stored(self, recording: Recording, copy: Copy) -> None: ...
    def recording_failed(self, recording: Recording, copy: Copy, error: BaseException, will_retry: bool) -> None: ...


class AllHooks(Hooks, Protocol):
    """`Hooks`, and the one about calls whose recording is missing."""

    def recording_missing(self, call: Call) -> None: ...


class Background(Protocol):
    """One thread that calls functions in their order. `add` returns False where no more of them may wait."""

    def add(self, call: Callable[[], None], /) -> bool: ...
    def close(self) -> None: ...


class LimitedHooks:
    """The same hooks, for threads that must not hang. `background` calls the hooks that return nothing."""

    def __init__(
        self,
        hooks: AllHooks,
        background: Background,
        *,
        keys: TimeLimit | None = None,
        notices: TimeLimit | None = None,
    ) -> None:
        self._hooks = hooks
        self._background = background
        self._keys = keys or TimeLimit(_KEY_SECONDS)
        self._notices = notices or TimeLimit(_NOTICE_SECONDS, _MOST_NOTICES)

    def listens(self, hook: str) -> bool:
        """Whether any plugin has this hook."""
        return self._hooks.listens(hook)

    def object_key(self, recording: Recording) -> str | None:
        """The plugins' key. Raises `NoAnswer` when they take too long."""
        if not self._hooks.listens("object_key"):
            return None  # without a thread for it
        return self._keys.call(partial(self._hooks.object_key, recording), name="object-key")

    def recording_stored(self, recording: Recording, copy: Copy) -> None:
        """Let every plugin's hook be called in the background."""
        self._queue("recording_stored", recording.recording_uuid, self._hooks.recording_stored, recording, copy)

    def recording_failed(self, recording: Recording, copy: Copy, error: BaseException, will_retry: bool) -> None:
        """Let every plugin's hook be called in the background."""
        facts = recording, copy, error, will_retry
        self._queue("recording_failed", recording.recording_uuid, self._hooks.recording_failed, *facts)

    def recording_missing(self, call: Call) -> None:
        """Let every plugin's hook be called in the background."""
        self._queue("recording_missing", call.conversation_uuid, self._hooks.recording_missing, call)

    def close(self) -> None:
        """Make the calls that still wait, for a moment at most."""
        self._background.close()

    def _queue(self, hook: str, subject: str | None, function: Callable[..., None], *facts: object) -> None:
        if not self._background.add(partial(self._call, hook, subject, partial(function, *facts))):
            log.error("No plugin's %s is called for %s: too many calls wait for a slow plugin.", hook, subject)

    def _call(self, hook: str, subject: str | None, function: Callable[[], None]) -> None:
        try:
            self._notices.call(function, name=hook)
        except NoAnswer as error:
            log.error("A plugin hangs in %s for %s: %s. The next calls go on.", hook, subject, error)
        except (Exception, SystemExit):
            log.exception("The plugins' %s broke off for %s; the next calls go on.", hook, subject)
