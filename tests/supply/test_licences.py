"""What is deployed may be deployed: every licence is one that was looked at, and the page lists them as they are."""

from __future__ import annotations

import re

import pytest
from packaging.utils import canonicalize_name

from .licences import BEGIN, END, PAGE, installed, licence_of, strange
from .pins import pins, version_of


def test_everything_that_is_deployed_is_under_a_licence_that_was_looked_at():
    refused = {name: licence_of(package) for name, package in installed().items() if strange(licence_of(package))}
    assert refused == {}, (
        "Read the licence; then add it to ALLOWED in tests/supply/licences.py, or do without the package."
    )


def test_the_page_lists_them_as_they_are():
    """Of each package that is installed as it is pinned. On another system there may be one more, or one fewer."""
    text, pinned = PAGE.read_text(), pins("requirements.txt")
    rows = dict(re.findall(r"(?m)^\| (\S+) \| (.+) \|$", text[text.index(BEGIN) : text.index(END)]))
    here = {
        package.metadata["Name"]: licence_of(package)
        for name, package in installed().items()
        if package.version == version_of(pinned[name])
    }
    assert {name: rows.get(name) for name in here} == here, "Run: make licences"
    assert {canonicalize_name(name) for name in rows} - {"package"} - pinned.keys() == set()


@pytest.mark.parametrize(
    ("expression", "refused"),
    [
        ("MIT", set()),
        ("Apache-2.0 OR GPL-2.0-only", set()),
        ("MIT AND PSF-2.0", set()),
        ("GPL-3.0-only", {"GPL-3.0-only"}),
        ("MIT AND GPL-3.0-only", {"GPL-3.0-only"}),
        ("unknown", {"unknown"}),
    ],
)
def test_an_expression_is_judged_by_its_parts(expression, refused):
    assert strange(expression) == refused
