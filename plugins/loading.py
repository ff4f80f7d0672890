"""Finds plugins and imports each of them: built-in packages, entry points, files in the drop-in folder.

A faulty plugin does no harm to the others: it becomes a `Candidate` with a `problem`. How the hooks of plugins are
called is in `plugins.manager`.
"""

from __future__ import annotations

import difflib
import importlib
import importlib.metadata
import importlib.util
import inspect
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.metadata import EntryPoint
from pathlib import Path

import pluggy

from recordings.messages import message_of, presentable

from . import hookspecs
from .hookspecs import PROJECT

MODULE_PREFIX = "tapekeeper_dropin_"  # in sys.modules, so that a drop-in never replaces a real module
SPECS = [name for name, value in vars(hookspecs).items() if hasattr(value, f"{PROJECT}_spec")]


@dataclass(slots=True)
class Candidate:
    """A plugin that was found: where it is, how to import it, and what came of the import.

    `origin` is `built-in`, `package` or `drop-in`; `home` the module, the distribution or the file.
    """

    name: str
    origin: str
    home: str
    load: Callable[[], object]
    version: str | None = None
    plugin: object = None
    hooks: tuple[str, ...] = ()
    problem: str | None = None

    def __str__(self) -> str:
        return f"{self.name!r} ({self.origin} {self.home})"


def find(builtins: Sequence[str], entry_points: Iterable[EntryPoint] | None, folder: Path | None) -> list[Candidate]:
    """All plugins, the built-in ones first, not yet imported. When two have one name, the second gets a problem."""
    candidates = [*_builtins(builtins), *_packages(entry_points), *_dropins(folder)]
    by_name: dict[str, Candidate] = {}
    for candidate in candidates:
        first = by_name.setdefault(candidate.name, candidate)
        if first is not candidate:
            candidate.problem = f"the name is taken by {first}: rename one of the two"
    return candidates


def import_plugin(candidate: Candidate) -> None:
    """Import the plugin and check its hooks; sets `plugin` and `hooks`, or `problem`."""
    try:
        candidate.plugin = candidate.load()
        candidate.hooks = _hooks_of(candidate.plugin)
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        candidate.problem = last_line(error)
    else:
        candidate.problem = None if candidate.hooks else _why_no_hook(candidate.plugin)
    if candidate.problem:
        candidate.plugin = None


def last_line(error: BaseException) -> str:
    """The last line of an error's traceback, with the file and line that raised it."""
    if isinstance(error, pluggy.PluginValidationError):
        return " ".join(message_of(error).split())
    line = presentable(traceback.format_exception_only(error)[-1].strip())
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if "importlib" not in frame.filename]
    return f"{line} ({frames[-1].filename}, line {frames[-1].lineno})" if frames else line


def _builtins(modules: Sequence[str]) -> Iterator[Candidate]:
    for module in modules:
        yield Candidate(module.rpartition(".")[2], "built-in", module, partial(importlib.import_module, module))


def _packages(entry_points: Iterable[EntryPoint] | None) -> Iterator[Candidate]:
    if entry_points is None:
        entry_points = importlib.metadata.entry_points(group=PROJECT)
    for point in sorted(entry_points, key=lambda point: point.name):
        home = f"{point.dist.name} {point.dist.version}" if point.dist else point.value
        version = point.dist.version if point.dist else None
        yield Candidate(point.name, "package", home, point.load, version)


def _dropins(folder: Path | None) -> Iterator[Candidate]:
    if folder is None:
        return
    if not folder.is_dir():
        yield Candidate(folder.name, "drop-in", str(folder), object, problem="PLUGINS_DIR is not a folder: make it")
        return
    for file in sorted(folder.glob("*.py")):
        if not file.name.startswith("_"):
            yield Candidate(file.stem, "drop-in", str(file), partial(_load_file, file))


def _load_file(file: Path) -> object:
    name = MODULE_PREFIX + file.stem
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise ImportError(f"{file} is not Python")
    module = importlib.util.module_from_spec(spec)
    # A dataclass under `from __future__ import annotations` looks up its own module while the class is made.
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _hooks_of(plugin: object) -> tuple[str, ...]:
    """The hooks that the plugin implements. Raises when one is misspelt, has wrong arguments, or is a wrapper.

    The check uses a manager of its own, because pluggy leaves a plugin half registered when its second hook is wrong.
    """
    manager = pluggy.PluginManager(PROJECT)
    manager.add_hookspecs(hookspecs)
    manager.register(plugin)
    callers = manager.get_hookcallers(plugin) or []
    for caller in callers:
        for hookimpl in caller.get_hookimpls():
            if not caller.has_spec() and not hookimpl.optionalhook:
                raise pluggy.PluginValidationError(plugin, _misspelt(caller.name))
            if hookimpl.wrapper or hookimpl.hookwrapper:
                raise pluggy.PluginValidationError(plugin, f"{caller.name} is a wrapper; plain hooks only, please")
    return tuple(sorted(caller.name for caller in callers if caller.has_spec()))


def _misspelt(name: str) -> str:
    similar = difflib.get_close_matches(name, SPECS, 1)
    advice = f"did you mean {similar[0]}?" if similar else f"the hooks are {', '.join(SPECS)}"
    return f"there is no hook {name}: {advice}"


def _why_no_hook(plugin: object) -> str:
    """Why a plugin has no hook. Pluggy says nothing about functions that are marked for another project."""
    marks = (
        mark for _, value in inspect.getmembers(plugin, inspect.isroutine) for mark in getattr(value, "__dict__", ())
    )
    for mark in marks:
        if mark.endswith("_impl"):
            project = mark.removesuffix("_impl")
            return f'its marker is HookimplMarker("{project}"): write HookimplMarker("{PROJECT}")'
    return f'it implements no hook: mark its functions with pluggy.HookimplMarker("{PROJECT}")'
