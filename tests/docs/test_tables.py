"""The tables of the pages are whole: no setting, metric, command, role or flow is left out, and none is made up."""

from __future__ import annotations

import re

import pytest

import settings
from commands import PURPOSES
from plugins.manager import load_plugins
from recordings.access import Role
from recordings.model import Call

from . import settings_table
from .pages import ROOT, blocks, name_of

FLOWS, CONSOLE, MONITORING, COMMANDS = (
    (ROOT / f"docs/{name}.md").read_text() for name in ("flows", "console", "monitoring", "commands")
)


def rows(page: str) -> list[str]:
    """The first cell of each row of its tables, without the heads."""
    return re.findall(r"^\| (`.*?) \|", page, re.MULTILINE)


def test_the_table_of_settings_is_made_from_the_settings():
    assert settings_table.PAGE.read_text() == settings_table.page(), "make settings-docs"
    documented = re.findall(r"^\| `([A-Z_]+)`", settings_table.table(), re.MULTILINE)
    assert documented == [name for name, *_ in settings.variables()]


def test_every_metric_is_explained_and_no_other():
    made = set(re.findall(r'"(tapekeeper_\w+)"', (ROOT / "console/metrics.py").read_text()))
    assert {name for row in rows(MONITORING) for name in re.findall(r"tapekeeper_\w+", row)} == made


def test_every_command_stands_in_the_table_and_no_other():
    named = {name for row in rows(COMMANDS) for name in re.findall(r"`flask ((?:[a-z][a-z-]*)(?: [a-z][a-z-]*)?)", row)}
    assert named == {path for paths in PURPOSES.values() for path in paths}


def test_every_role_is_explained_and_no_other():
    assert [row.strip("`") for row in rows(CONSOLE)] == [role.word for role in Role]


def test_every_flow_is_explained_and_no_other():
    assert [row.strip("`") for row in rows(FLOWS)] == list(settings.FLOWS)


def test_the_readme_is_one_screen_without_tables_of_reference():
    readme = (ROOT / "README.md").read_text()
    assert len(readme.splitlines()) <= 90
    assert not re.search(r"(?m)^\|", readme)


@pytest.mark.parametrize("page", [ROOT / "docs/tutorial.md"], ids=name_of)
def test_the_plugin_of_the_tutorial_does_what_the_page_says(page, tmp_path):
    (code,) = [source for language, source in blocks(page) if language == "python"]
    (tmp_path / "shout.py").write_text(code)
    plugins = load_plugins([], plugins_dir=tmp_path, entry_points=[])
    assert [(p.name, p.state, sorted(p.hooks)) for p in plugins.report()] == [
        ("shout", "active", ["answer_call", "object_key"])
    ]
    call = Call(conversation_uuid="CON-1", uuid="1", from_="447700900000", to="1", flow="call")
    assert plugins.answer_call(call)[0]["action"] == "talk"
