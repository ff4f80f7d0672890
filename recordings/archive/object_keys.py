"""The object key of one copy: the key that an earlier attempt pinned, else a plugin's, else the template's.

What a legal key is, and how the template makes one, stands in `recordings.keys`.
"""

from __future__ import annotations

import logging
from typing import NamedTuple, Protocol

from recordings.catalogue.leases import Claim
from recordings.errors import InvalidKey
from recordings.keys import KeyTemplate, check_key
from recordings.model import Recording
from recordings.timeouts import NoAnswer

log = logging.getLogger(__name__)


class KeyHooks(Protocol):
    """The hook that lets a plugin choose a key: the first result wins, None leaves the choice to the template.

    It may raise `NoAnswer`: a plugin takes too long.
    """

    def object_key(self, recording: Recording) -> str | None: ...


class Key(NamedTuple):
    """An object key. `steady`: every attempt is sure to choose the same one, so it needs no pinning."""

    text: str
    steady: bool


class KeyChoice:
    """Chooses the key in one attempt. Plugins are asked once at the most, and not when the key is pinned."""

    def __init__(self, claim: Claim, template: KeyTemplate, hooks: KeyHooks) -> None:
        self._claim = claim
        self._template = template
        self._hooks = hooks
        self._plugin_key: tuple[str | None, bool] | None = None

    def key(self, ext: str) -> Key:
        """The key of an object with this file extension."""
        if self._claim.key:
            return Key(self._claim.key, True)
        # Not a cached_property: Python 3.11 computes it for one instance at a time, and a plugin may hang.
        # https://docs.python.org/3/library/functools.html#functools.cached_property
        self._plugin_key = self._plugin_key or self._ask_plugins()
        plugin_key, plugin_answered = self._plugin_key
        if plugin_key:
            return Key(plugin_key, False)
        steady = self._template.steady and not plugin_answered  # the plugin's next key may be a legal one
        return Key(self._template.render(self._claim.recording, ext), steady)

    def _ask_plugins(self) -> tuple[str | None, bool]:
        """The plugins' key, None where there is no legal one; and whether a plugin answered."""
        recording = self._claim.recording
        try:
            key = self._hooks.object_key(recording)
        except NoAnswer as error:
            log.error(
                "No plugin's object_key answers for %s: %s. The template's is used.", recording.recording_uuid, error
            )
            return None, True
        if key is None:
            return None, False
        try:
            check_key(key)
            if recording.recording_uuid not in key:
                raise InvalidKey(f"{key!r} does not hold the recording_uuid, so two recordings could share it.")
        except InvalidKey as error:
            log.error("A plugin's object_key is not used, STORAGE_KEY_TEMPLATE is. %s", error)
            return None, True
        return key, True
