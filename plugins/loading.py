"""Finds plugins and brings in each by itself: built-in modules, entry points, the drop-in folder.

Whatever is wrong with one of them stays with it: it becomes a `Candidate` with a `problem`, and the others go on.
What the plugins then do is `plugins.manager`'s.
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
from importlib.metadata import EntryPoint
from pathlib import Path

import pluggy

from . import hookspecs
from .hookspecs import PROJECT

MODULE_PREFIX = "tapekeeper_dropin_"  # in sys.modules: a drop-in must not take the name of a real module
SPECS = [name for name, value in vars(hookspecs).items() if hasattr(value, f"{PROJECT}_spec")]


@dataclass(slots=True)
class Candidate:
    """A plugin that was found: where, how to bring it in, and what came of it.

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
    """Every plugin there is, built-in ones first, none of them imported. The first of two of one name keeps it."""
    found = [*_builtins(builtins), *_packages(entry_points), *_dropins(folder)]
    first: dict[str, Candidate] = {}
    for candidate in found:
        holder = first.setdefault(candidate.name, candidate)
        if holder is not candidate:
            candidate.problem = f"the name is taken by {holder}: rename one of the two"
    return found


def bring_in(candidate: Candidate) -> None:
    """Import it and judge its hooks; sets `plugin` and `hooks`, or `problem`."""
    try:
        candidate.plugin = candidate.load()
        candidate.hooks = _hooks_of(candidate.plugin)
    except (Exception, SystemExit) as error:
        candidate.problem = last_line(error)
    else:
        candidate.problem = None if candidate.hooks else _nothing_in(candidate.plugin)
    if candidate.problem:
        candidate.plugin = None


def last_line(error: BaseException) -> str:
    """The last line of an error's traceback, and the place that it came from."""
    if isinstance(error, pluggy.PluginValidationError):
        return " ".join(str(error).split())
    line = traceback.format_exception_only(error)[-1].strip()
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if "importlib" not in frame.filename]
    return f"{line} ({frames[-1].filename}, line {frames[-1].lineno})" if frames else line


def _builtins(modules: Sequence[str]) -> Iterator[Candidate]:
    for module in modules:
        yield Candidate(module.rpartition(".")[2], "built-in", module, lambda module=module: _import(module))  # type: ignore[misc]


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
            yield Candidate(file.stem, "drop-in", str(file), lambda file=file: _load_file(file))  # type: ignore[misc]


def _import(module: str) -> object:
    return importlib.import_module(module)


def _load_file(file: Path) -> object:
    name = MODULE_PREFIX + file.stem
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise ImportError(f"{file} is not Python")
    module = importlib.util.module_from_spec(spec)
    # dataclasses with `from __future__ import annotations` look their own module up while they are being made.
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _hooks_of(plugin: object) -> tuple[str, ...]:
    """The hooks that it implements; raises when one is misspelt, has wrong arguments, or is a wrapper.

    A manager of its own, because pluggy keeps half of a plugin whose second hook is wrong.
    """
    trial = pluggy.PluginManager(PROJECT)
    trial.add_hookspecs(hookspecs)
    trial.register(plugin)
    callers = trial.get_hookcallers(plugin) or []
    for caller in callers:
        for hookimpl in caller.get_hookimpls():
            if not caller.has_spec() and not hookimpl.optionalhook:
                raise pluggy.PluginValidationError(plugin, _misspelt(caller.name))
            if hookimpl.wrapper or hookimpl.hookwrapper:
                raise pluggy.PluginValidationError(plugin, f"{caller.name} is a wrapper; plain hooks only, please")
    return tuple(sorted(caller.name for caller in callers if caller.has_spec()))


def _misspelt(name: str) -> str:
    near = difflib.get_close_matches(name, SPECS, 1)
    meant = f"did you mean {near[0]}?" if near else f"the hooks are {', '.join(SPECS)}"
    return f"there is no hook {name}: {meant}"


def _nothing_in(plugin: object) -> str:
    """Why a plugin without hooks has none: pluggy is silent about a marker of another project."""
    marks = (
        mark for _, value in inspect.getmembers(plugin, inspect.isroutine) for mark in getattr(value, "__dict__", ())
    )
    for mark in marks:
        if mark.endswith("_impl"):
            other = mark.removesuffix("_impl")
            return f'its marker is HookimplMarker("{other}"): write HookimplMarker("{PROJECT}")'
    return f'it implements no hook: mark its functions with pluggy.HookimplMarker("{PROJECT}")'
