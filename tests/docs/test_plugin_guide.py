"""`docs/plugins.md` tells every hook and every field, and its ten lines are used as it says."""

from __future__ import annotations

import inspect
import os
import re
import subprocess
import sys
from dataclasses import fields

import pytest

from plugins import hookspecs
from plugins.loading import SPECS
from plugins.manager import METHODS
from recordings.model import Call, Copy, Recording
from settings import ROOT

from .pages import section, sources

PAGE = (ROOT / "docs/plugins.md").read_text()


def rows_below(heading):
    """What stands in backticks in the first column of the table with this heading."""
    rows = re.search(rf"^\| {re.escape(heading)} \|.*\n\|[-|]+\|\n((?:\|.*\n)+)", PAGE, re.MULTILINE)
    assert rows, heading
    return [
        name for cell in re.findall(r"^\| (.*?) \|", rows[1], re.MULTILINE) for name in re.findall(r"`(.*?)`", cell)
    ]


def test_each_hook_stands_there_with_its_arguments():
    arguments = {hook: ", ".join(inspect.signature(getattr(hookspecs, hook)).parameters) for hook in SPECS}
    assert rows_below("hook") == [f"{hook}({names})" for hook, names in arguments.items()]


@pytest.mark.parametrize(
    ("heading", "kind"), [("field of a recording", Recording), ("field of a copy", Copy), ("field of a call", Call)]
)
def test_each_field_that_hooks_are_given_stands_there(heading, kind):
    assert sorted(rows_below(heading)) == sorted(field.name for field in fields(kind))


def test_each_method_of_a_backend_stands_there():
    assert tuple(re.sub(r"\(.*", "", method) for method in rows_below("method")) == METHODS


def test_the_ten_lines_are_used_as_the_page_shows(tmp_path, bare_environ):
    ten_lines = section(PAGE, "Ten lines")
    (shown,) = sources(ten_lines, "text")
    path = f"{os.path.dirname(sys.executable)}{os.pathsep}{os.environ['PATH']}"
    env = bare_environ | {"PATH": path, "FLASK_APP": str(ROOT / "wsgi.py"), "FLASK_SKIP_DOTENV": "1"}
    env |= {"DATABASE_URL": f"sqlite:///{tmp_path}/tapekeeper.db", "STORAGE_URL": (tmp_path / "recordings").as_uri()}
    done = subprocess.run(
        ["bash", "-ec", "".join(sources(ten_lines, "sh"))],
        cwd=tmp_path,
        env=env,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert re.search(r"^by_flow .*object_key.*active", done.stdout, re.MULTILINE), done.stdout
    assert shown.rstrip() in done.stdout.splitlines()
