"""Which plugins are loaded, which plugin provides which storage scheme, and how each hook is called.

A faulty plugin is reported and left out. It stops the start only when `STORAGE_URL` needs its scheme, or when two
plugins provide one scheme. There is no global manager: `load_plugins` makes one. How a plugin is found and imported is
in `plugins.loading`.
"""

from __future__ import annotations

import importlib
import logging
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any, cast

import pluggy

from recordings.errors import StorageConfigurationError, TapekeeperError
from recordings.model import Call, Copy, Recording
from recordings.storage import StorageBackend

from . import hookspecs
from .contained import ContainedBackend
from .hookspecs import PROJECT
from .loading import Candidate, find, import_plugin, last_line

log = logging.getLogger(__name__)

SCHEME = re.compile(r"[a-z][a-z0-9+.-]*")
METHODS = ("from_url", "put", "head", "get", "delete", "list", "signed_url", "check", "close")
Target = str | type[StorageBackend]


class PluginError(StorageConfigurationError):
    """A plugin cannot be used as configured; the message names it and says what to do."""


@dataclass(frozen=True, slots=True)
class PluginInfo:
    """One line of `flask plugins`.

    `origin` is `built-in`, `package` or `drop-in`; `state` is `active`, `disabled`, `broken`, or `unknown`: a name that
    only PLUGINS_DISABLED knows. `problem` is a sentence, or None.
    """

    name: str
    version: str | None
    origin: str
    file_or_distribution: str
    hooks: tuple[str, ...]
    schemes: tuple[str, ...]
    state: str
    problem: str | None


def load_plugins(
    builtins: Sequence[str],
    *,
    plugins_dir: Path | None = None,
    disabled: Collection[str] = (),
    entry_points: Iterable[EntryPoint] | None = None,
) -> Plugins:
    """Find, import and check every plugin; those with a problem are logged and left out.

    `disabled` holds names as `report()` gives them; `entry_points` defaults to the installed ones. Raises
    `PluginError` when two plugins give one storage scheme.
    """
    manager = pluggy.PluginManager(PROJECT)
    manager.add_hookspecs(hookspecs)
    candidates = find(builtins, entry_points, plugins_dir)
    targets: dict[str, dict[str, Target]] = {}
    for candidate in candidates:
        if candidate.name in disabled or candidate.problem:
            continue
        import_plugin(candidate)
        if candidate.plugin is not None:
            targets[candidate.name] = _register(manager, candidate)
    plugins = Plugins(manager, candidates, targets, disabled)
    for info in plugins.report():
        if info.problem:
            log.warning("Plugin %r (%s %s): %s", info.name, info.origin, info.file_or_distribution, info.problem)
    return plugins


def _register(manager: pluggy.PluginManager, candidate: Candidate) -> dict[str, Target]:
    """Register the plugin; the storage schemes that it provides. A wrong scheme keeps the whole plugin out."""
    try:
        manager.register(candidate.plugin, name=candidate.name)
        return _targets_by_scheme(manager, candidate.name)
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        if manager.has_plugin(candidate.name):
            manager.unregister(name=candidate.name)
        candidate.plugin, candidate.problem = None, last_line(error)
        return {}


def _targets_by_scheme(manager: pluggy.PluginManager, name: str) -> dict[str, Target]:
    targets: dict[str, Target] = {}
    for hookimpl in manager.hook.register_storage_backends.get_hookimpls():
        if hookimpl.plugin_name != name:
            continue
        answer = cast("Any", hookimpl.function())
        if not isinstance(answer, Mapping):
            raise TypeError(f"register_storage_backends() gave {answer!r}: give a dictionary of scheme and class")
        for scheme, target in answer.items():
            targets[_checked_scheme(scheme)] = _checked_target(scheme, target)
    return targets


def _checked_scheme(scheme: object) -> str:
    if not isinstance(scheme, str) or not SCHEME.fullmatch(scheme):
        raise ValueError(f"the storage scheme {scheme!r} is not one: lower-case letters, digits, + . -, as in s3")
    return scheme


def _checked_target(scheme: str, target: object) -> Target:
    if isinstance(target, str) and re.fullmatch(r"[\w.]+:[\w.]+", target):
        return target
    if isinstance(target, type):
        return cast("type[StorageBackend]", target)
    raise TypeError(f'the backend of {scheme}:// is {target!r}: give a class, or "module:Class"')


class Plugins:
    """The loaded plugins, and the ways to call them."""

    def __init__(
        self,
        manager: pluggy.PluginManager,
        candidates: Sequence[Candidate],
        targets: Mapping[str, Mapping[str, Target]],
        disabled: Collection[str],
    ) -> None:
        self._manager = manager
        self._candidates = candidates
        self._targets = targets
        self._disabled = disabled
        self._providers: dict[str, Candidate] = {}
        for candidate in candidates:
            for scheme in targets.get(candidate.name, {}) if candidate.plugin is not None else ():
                self._provide(scheme, candidate)

    def _provide(self, scheme: str, candidate: Candidate) -> None:
        first = self._providers.setdefault(scheme, candidate)
        if first is not candidate:
            raise PluginError(
                f"Two plugins give the storage scheme {scheme}://, {first} and {candidate}. "
                f"Remove one, or disable it: PLUGINS_DISABLED={candidate.name}"
            )

    @property
    def schemes(self) -> dict[str, str]:
        """Storage scheme → name of the plugin that provides it."""
        return {scheme: candidate.name for scheme, candidate in sorted(self._providers.items())}

    def report(self) -> list[PluginInfo]:
        """Every plugin that was found, also those left out, and every name in PLUGINS_DISABLED that is no plugin."""
        known = [candidate.name for candidate in self._candidates]
        unknown = [name for name in self._disabled if name not in known]
        problem = f"PLUGINS_DISABLED names no plugin; the names are {', '.join(known)}"
        plugins = [self._info(candidate) for candidate in self._candidates]
        return plugins + [
            PluginInfo(name, None, "", "PLUGINS_DISABLED", (), (), "unknown", problem) for name in unknown
        ]

    def _info(self, candidate: Candidate) -> PluginInfo:
        state = "broken" if candidate.problem else "active"
        return PluginInfo(
            name=candidate.name,
            version=candidate.version,
            origin=candidate.origin,
            file_or_distribution=candidate.home,
            hooks=candidate.hooks,
            schemes=tuple(s for s, provider in sorted(self._providers.items()) if provider is candidate),
            state="disabled" if candidate.name in self._disabled else state,
            problem=None if candidate.name in self._disabled else candidate.problem,
        )

    # --- storage ---

    def backend(self, url: str, env: Mapping[str, str], *, contained: bool = True) -> StorageBackend:
        """The backend for a `STORAGE_URL`, imported now. Raises `PluginError`, or what its `from_url` says is wrong.

        A plugin's backend comes as a `ContainedBackend`, unless its very own object is wanted.
        """
        scheme = url.partition(":")[0].lower()
        provider = self._providers.get(scheme)
        if provider is None:
            raise PluginError(self._no_provider(scheme))
        backend_class = _resolve(scheme, provider, self._targets[provider.name][scheme])
        try:
            backend = backend_class.from_url(url, env)
        except TapekeeperError:
            raise
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # the plugin's own class: name the plugin
            raise PluginError(f"The plugin {provider} does not take the {scheme}:// URL: {last_line(error)}") from error
        if contained and provider.origin != "built-in":
            return cast("StorageBackend", ContainedBackend(backend, str(provider)))
        return backend

    def _no_provider(self, scheme: str) -> str:
        known = ", ".join(f"{name}://" for name in self.schemes) or "none"
        sentences = [f"No plugin provides the storage scheme {scheme}://. Known: {known}."]
        sentences.append("Correct the URL, or install a plugin for it: see docs/plugins.md.")
        for info in self.report():
            if info.state == "disabled":
                sentences.append(f"The plugin {info.name!r} is disabled: does PLUGINS_DISABLED name it on purpose?")
            elif info.state == "broken":
                place = f"({info.origin} {info.file_or_distribution})"
                sentences.append(f"The plugin {info.name!r} {place} is broken, mend it: {info.problem}.")
        return " ".join(sentences)

    # --- hooks: each plugin is called by itself, so that the error of one does not stop the calls of the others ---

    def object_key(self, recording: Recording) -> str | None:
        """The first key that a plugin wants for this recording, or None: use the template."""
        return cast("str | None", self._first("object_key", str, recording=recording))

    def answer_call(self, call: Call) -> list[dict[str, Any]] | None:
        """The first NCCO that a plugin wants for this call, or None: use the configured flow."""
        return cast("list[dict[str, Any]] | None", self._first("answer_call", list, call=call))

    def listens(self, hook: str) -> bool:
        """Whether any plugin implements this hook. If none does, the caller can save the query for its arguments."""
        return bool(self._hookimpls(hook))

    def recording_stored(self, recording: Recording, copy: Copy) -> None:
        """Call every plugin."""
        self._call_all("recording_stored", recording=recording, copy=copy)

    def recording_failed(self, recording: Recording, copy: Copy, error: BaseException, will_retry: bool) -> None:
        """Call every plugin."""
        self._call_all("recording_failed", recording=recording, copy=copy, error=error, will_retry=will_retry)

    def recording_missing(self, call: Call) -> None:
        """Call every plugin."""
        self._call_all("recording_missing", call=call)

    def _call_all(self, hook: str, **arguments: Any) -> None:
        for hookimpl in self._hookimpls(hook):
            self._call(hook, hookimpl, arguments)

    def _first(self, hook: str, expected: type, **arguments: Any) -> object:
        """The first answer that is not None and has the expected type; a plugin is called only while there is none."""
        for hookimpl in self._hookimpls(hook):
            answer = self._call(hook, hookimpl, arguments)
            if isinstance(answer, expected):
                return answer
            if answer is not None:
                log.error("The plugin %r gave a %s to %s: ignored", hookimpl.plugin_name, type(answer).__name__, hook)
        return None

    def _hookimpls(self, hook: str) -> list[pluggy.HookImpl]:
        """The plugins' functions for this hook, in the order in which pluggy calls them."""
        hookimpls: list[pluggy.HookImpl] = getattr(self._manager.hook, hook).get_hookimpls()
        return hookimpls[::-1]

    def _call(self, hook: str, hookimpl: pluggy.HookImpl, arguments: Mapping[str, Any]) -> object:
        """The plugin's answer; an error is logged and counts as the answer None."""
        try:
            return hookimpl.function(*(arguments[name] for name in hookimpl.argnames))
        except KeyboardInterrupt:
            raise
        except BaseException:  # SystemExit too: a plugin must end neither the thread that calls it nor the process
            log.exception("The plugin %r failed in %s; everything else goes on", hookimpl.plugin_name, hook)
            return None


def _resolve(scheme: str, provider: Candidate, target: Target) -> type[StorageBackend]:
    """The backend's class, imported, with all its methods. Raises `PluginError` with the last line of the traceback."""
    backend_class: Any = target
    if isinstance(target, str):
        module, _, path = target.partition(":")
        try:
            backend_class = importlib.import_module(module)
            for name in path.split("."):
                backend_class = getattr(backend_class, name)
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            raise PluginError(
                f"{scheme}:// needs {target} of the plugin {provider}, which cannot be imported: {last_line(error)}. "
                "Install what is missing, or choose another STORAGE_URL."
            ) from error
    missing = [method for method in METHODS if not callable(getattr(backend_class, method, None))]
    if missing:
        raise PluginError(f"The backend of {scheme}:// in the plugin {provider} has no {', '.join(missing)}: add them.")
    return cast("type[StorageBackend]", backend_class)
