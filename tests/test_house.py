"""The house's laws: what holds in every room, checked by reading the rooms themselves."""

from __future__ import annotations

import ast
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

import settings
from backends import BUILTINS

ROOT = Path(__file__).resolve().parent.parent
ROOMS = ("webhooks", "recordings", "backends", "plugins", "console", "commands", "simulator")

FILE_CEILING = 400
FUNCTION_CEILING = 40
VIEW_CEILING = 15


def tracked(*patterns: str) -> list[Path]:
    """The files that the repository holds, or would hold after the next commit."""
    done = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "--", *patterns],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return [ROOT / line for line in done.stdout.splitlines() if (ROOT / line).is_file()]


def our_code() -> list[Path]:
    """Python files that run in production, and the simulator."""
    return [p for p in tracked("*.py") if p.relative_to(ROOT).parts[0] not in ("tests", "examples", "bench")]


def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(), str(path))


def functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    return (node for node in ast.walk(parsed(path)) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


def names(paths: list[Path]) -> list[str]:
    return [str(path.relative_to(ROOT)) for path in paths]


def test_every_room_imports_only_what_it_may():
    done = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-logo"], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout


def imports(nodes: Iterable[ast.AST]) -> set[str]:
    statements = [node for node in nodes if isinstance(node, ast.Import | ast.ImportFrom)]
    return {
        name or ""
        for node in statements
        for name in ([node.module] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names])
    }


@pytest.mark.parametrize(
    "module", ["settings.py", "settings_parsers.py", "settings_database.py", "settings_platforms.py"]
)
def test_settings_import_little_and_what_is_slow_only_where_it_is_used(module):
    tree = parsed(ROOT / module)
    at_once = {name for name in imports(tree.body) if name.split(".")[0] not in sys.stdlib_module_names}
    later = {name.split(".")[0] for name in imports(ast.walk(tree))} - sys.stdlib_module_names
    assert at_once <= {"settings_parsers", "settings_database", "settings_platforms", "recordings.masking"}
    assert later <= {
        "settings_parsers",
        "settings_database",
        "settings_platforms",
        "recordings",
        "dotenv",
        "phonenumbers",
        "psycopg",
        "sqlalchemy",
    }


@pytest.mark.parametrize("hook", re.findall(r"^def (\w+)\(", (ROOT / "plugins/hookspecs.py").read_text(), re.MULTILINE))
def test_each_hook_is_documented_and_tested(hook):
    assert hook in (ROOT / "docs/plugins.md").read_text()
    assert any(hook in path.read_text() for path in tracked("tests/**.py") if path != Path(__file__))


@pytest.mark.parametrize("package", BUILTINS)
def test_each_built_in_imports_without_its_sdk(package):
    program = (
        "import importlib, pkgutil, sys\n"
        "class Absent:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.split('.')[0] in ('google', 'google_crc32c', 'azure', 'requests'):\n"
        "            raise ModuleNotFoundError(name)\n"
        "sys.meta_path.insert(0, Absent())\n"
        f"package = importlib.import_module({package!r})\n"
        "for module in pkgutil.iter_modules(package.__path__):\n"
        "    importlib.import_module(f'{package.__name__}.{module.name}')\n"
    )
    run = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr


def test_a_new_backend_is_one_folder_and_no_edit_elsewhere(tmp_path):
    shutil.copytree(ROOT / "backends", tmp_path / "backends", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "backends/memory").mkdir()
    example = (ROOT / "docs/plugins.md").read_text().split("# plugins/dropin/memory.py\n")[1].split("```")[0]
    (tmp_path / "backends/memory/__init__.py").write_text(example)
    env = {"PATH": os.environ["PATH"], "PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"}
    command = [sys.executable, "-m", "flask", "--app", "wsgi", "plugins", "--json"]
    run = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True)
    plugins = {plugin["name"]: plugin for plugin in map(json.loads, run.stdout.splitlines())}
    assert plugins["memory"]["origin"] == "built-in", run.stderr
    assert plugins["memory"]["schemes"] == ["memory"]


def test_no_file_is_over_the_ceiling():
    sizes = {path: len(path.read_text().splitlines()) for path in tracked("*.py")}
    assert names([path for path, lines in sizes.items() if lines > FILE_CEILING]) == []


def test_no_function_is_over_the_ceiling():
    long = [
        f"{path.relative_to(ROOT)}:{function.lineno} {function.name}"
        for path in our_code()
        if "migrations" not in path.parts
        for function in functions(path)
        if (function.end_lineno or 0) - function.lineno >= FUNCTION_CEILING
    ]
    assert long == []


def test_views_translate_and_nothing_more():
    long = [
        f"{path.relative_to(ROOT)}:{view.lineno} {view.name}"
        for path in tracked("console/*.py")
        for view in functions(path)
        for decorator in view.decorator_list
        if isinstance(decorator, ast.Call)
        and isinstance(decorator.func, ast.Attribute)
        and decorator.func.attr in ("get", "post", "put", "patch", "delete", "route")
        and (view.end_lineno or 0) - view.lineno >= VIEW_CEILING
    ]
    assert long == []


def test_every_module_says_what_lives_there():
    exempt = ("migrations",)
    silent = [p for p in our_code() if not ast.get_docstring(parsed(p)) and not set(exempt) & set(p.parts)]
    assert names(silent) == []


def test_no_file_has_a_name_that_says_nothing():
    assert names([p for p in tracked("*.py") if p.stem in ("utils", "helpers", "common", "misc")]) == []


def given_names(path: Path) -> Iterator[tuple[int, str]]:
    """Every name that this file gives to something: line, name."""
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.lineno, node.id
        elif isinstance(node, ast.arg):
            yield node.lineno, node.arg
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.lineno, node.name


def test_each_name_says_its_subject():
    empty = {"told", "words", "taken", "kept", "found", "each", "one"}
    given = ((path, line, name) for path in our_code() for line, name in given_names(path))
    assert [f"{path.relative_to(ROOT)}:{line} {name}" for path, line, name in given if name.strip("_") in empty] == []


def test_the_environment_is_read_in_one_place():
    readers = [
        path
        for path in our_code()
        if path.relative_to(ROOT).parts[0] != "simulator" and re.search(r"\bos\.(environ|getenv)\b", path.read_text())
    ]
    assert names(readers) == ["settings.py"]


def test_crossings_are_absolute_and_neighbours_relative():
    wrong = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in our_code()
        for node in ast.walk(parsed(path))
        if isinstance(node, ast.ImportFrom)
        and (node.level > 1 or (node.level == 0 and node.module == ".".join(path.parent.relative_to(ROOT).parts)))
    ]
    assert wrong == []


def in_catalogue(path: Path) -> bool:
    return path.is_relative_to(ROOT / "recordings/catalogue")


def test_in_the_heart_only_the_catalogue_speaks_sql():
    databases = {"sqlalchemy", "alembic", "sqlite3", "psycopg"}
    heart = [path for path in tracked("recordings/**.py") if not in_catalogue(path)]
    imported = {path: {name.split(".")[0] for name in imports(ast.walk(parsed(path)))} for path in heart}
    assert names([path for path in heart if imported[path] & databases]) == []


def test_only_the_catalogue_writes_the_rows_of_copies():
    writes = r"(?i)\b(insert|update|delete)\(\s*(tables\.)?copies\b|\bcopies\.(insert|update|delete)\(|"
    writes += r"\b(insert into|update|delete from) copies\b"
    assert names([p for p in our_code() if not in_catalogue(p) and re.search(writes, p.read_text())]) == []


def test_nothing_changes_or_deletes_what_the_audit_holds():
    verbs = (
        r"(?is)\b(update|delete|truncate|drop_table)\b[\s(\"']*(from\s+|table\s+)?[\"']?(\w+\.)?audit\b"
        r"|\baudit\.(update|delete)\b"
    )
    assert re.search(verbs, "delete(audit)")
    assert re.search(verbs, 'text("UPDATE audit SET x")')
    assert names([path for path in our_code() if re.search(verbs, path.read_text())]) == []


def test_no_exception_is_swallowed_without_a_word():
    silent = [
        f"{path.relative_to(ROOT)}:{handler.lineno}"
        for path in our_code()
        for handler in ast.walk(parsed(path))
        if isinstance(handler, ast.ExceptHandler)
        and (handler.type is None or (isinstance(handler.type, ast.Name) and handler.type.id == "Exception"))
        and len(handler.body) == 1
        and isinstance(handler.body[0], ast.Pass)
    ]
    assert silent == []


def test_the_version_is_the_same_everywhere():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    first = re.search(r"^## .*?(\d+\.\d+\.\d+)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert first is not None
    assert settings.VERSION == project["version"] == first[1]


def test_pins_have_hashes_and_no_addresses():
    for path in sorted(ROOT.glob("requirements*.txt")):
        text = path.read_text()
        assert "://" not in text, path.name
        assert "index" not in text.split("==")[0], path.name
        pins = re.findall(r"^[a-zA-Z0-9_.\[\]-]+==", text, re.MULTILINE)
        assert len(pins) == len(re.findall(r"(?m)^[^\s#].*\\\n\s+--hash=sha256:", text)), path.name


def test_urllib3_is_one_that_sees_a_cut_body():
    assert re.search(r"^urllib3==([2-9]|\d\d)\.", (ROOT / "requirements.txt").read_text(), re.MULTILINE)


def test_the_built_wheel_owns_no_package(tmp_path):
    program = "from setuptools import build_meta; import sys; print(build_meta.build_wheel(sys.argv[1]))"
    copy = tmp_path / "checkout"
    copy.mkdir()
    for name in (
        "pyproject.toml",
        "README.md",
        "LICENSE",
        "settings.py",
        "settings_parsers.py",
        "settings_database.py",
        "settings_platforms.py",
        "wsgi.py",
    ):
        (copy / name).write_text((ROOT / name).read_text())
    (copy / "webhooks").mkdir()
    (copy / "webhooks/__init__.py").write_text("")
    subprocess.run([sys.executable, "-c", program, str(tmp_path)], cwd=copy, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    owned = {name.split("/")[0] for name in zipfile.ZipFile(wheel).namelist()}
    assert owned == {f"tapekeeper-{settings.VERSION}.dist-info"}


def test_the_project_speaks_of_itself_alone():
    hosts = "|".join((r"pypi\.org", "python" + "hosted", r"registry\." + "npmjs", r"\.\./" + "shared"))
    telling = [p for p in tracked() if p.suffix != ".mp3" and re.search(hosts, p.read_text(errors="replace"))]
    assert names(telling) == []
