"""Each promise of `docs/promises.md` names a test that is there; each file that the pages name is there."""

from __future__ import annotations

import re

import pytest

from settings import ROOT
from tests.test_house import functions

from .pages import section

PAGE = (ROOT / "docs/promises.md").read_text()
PROMISED, NOT_PROMISED = PAGE.split("\n## Not promised\n")
ROWS = re.findall(r"^\| (?!promise \|)(.+) \|$", PROMISED, re.MULTILINE)
NAMED = re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", PROMISED)


def test_each_promise_names_a_test():
    assert len(ROWS) > 40
    assert [row for row in ROWS if not re.search(r"\| `tests/", row)] == []


def test_each_test_that_holds_a_promise_is_there():
    names = {file: {node.name for node in functions(ROOT / file)} for file in {file for file, _ in NAMED}}
    gone = [f"{file}::{function}" for file, function in NAMED if function and function not in names[file]]
    assert gone == []
    assert [file for file in names if not any(name.startswith("test_") for name in names[file])] == []


def test_what_is_not_promised_is_said():
    assert len(re.findall(r"^\*\*Of [\w ]+\.\*\*", NOT_PROMISED, re.MULTILINE)) >= 5


@pytest.mark.parametrize("page", ["docs/security.md", "docs/architecture.md"])
def test_each_file_that_a_page_names_is_there(page):
    named = set(re.findall(r"`([\w./-]+\.py)`", (ROOT / page).read_text()))
    assert len(named) > 5
    assert sorted(name for name in named if not (ROOT / name).is_file()) == []


def test_each_threat_says_what_is_not_stopped():
    sections = section((ROOT / "docs/security.md").read_text(), "Threats").split("\n### ")[1:]
    assert len(sections) > 15
    assert [section.partition("\n")[0] for section in sections if "*Not stopped*" not in section] == []
