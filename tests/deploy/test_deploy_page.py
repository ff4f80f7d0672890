"""`docs/deploy.md` leaves no platform out that the app knows, and names files that are there."""

from __future__ import annotations

import re

import pytest

from settings import ROOT, lacking, load
from settings_platforms import PLATFORMS
from tests.docs.pages import section
from tests.test_house import tracked

PAGE = (ROOT / "docs/deploy.md").read_text()
EVERYWHERE = section(PAGE, "Everywhere")


@pytest.mark.parametrize("platform", PLATFORMS, ids=lambda platform: platform.name)
def test_each_platform_that_the_app_knows_is_on_the_page(platform):
    assert platform.name.removeprefix("Azure ").removeprefix("Google ") in PAGE


def test_the_page_tells_everything_that_must_be_set():
    assert [problem.name for problem in lacking(load({})) if f"`{problem.name}" not in EVERYWHERE] == []


def test_dokku_is_told_to_take_the_procfile_as_long_as_a_dockerfile_lies_beside_it():
    # https://dokku.com/docs/deployment/builders/builder-management/
    assert (ROOT / "Dockerfile").exists()
    assert "`dokku builder:set APP selected herokuish`" in section(PAGE, "Dokku")


def test_every_file_that_the_page_names_is_there():
    names = re.findall(r"`((?:deploy/)?[\w.-]+\.(?:json|yaml|toml|conf|py)|Procfile|Dockerfile|deploy/[\w/]+)`", PAGE)
    assert "fly.toml" in names
    assert [name for name in names if not (ROOT / name).exists()] == []
    units = {path.stem for path in tracked("deploy/systemd/*.service")}
    assert set(re.findall(r"`(tapekeeper(?:-\w+)?)`", PAGE)) <= units | {"tapekeeper"}
