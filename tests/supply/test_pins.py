"""Each list of pins is what its line in the Makefile makes of `pyproject.toml`, and so can be made again."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from packaging.utils import canonicalize_name

from settings import ROOT

from .pins import LISTS, PROJECT, pins, version_of, wanted

LOCKED = re.findall(r"(?m)^\t\$\(.*LOCK\).* -o (\S+)$", (ROOT / "Makefile").read_text())


@pytest.mark.parametrize("name", LISTS)
def test_every_dependency_is_pinned_within_its_bounds(name):
    pinned = pins(name)
    outside = [
        str(requirement)
        for requirement in wanted(LISTS[name])
        if (pin := pinned.get(canonicalize_name(requirement.name))) is None
        or not requirement.specifier.contains(version_of(pin), prereleases=True)
        or not requirement.extras <= pin.extras
    ]
    assert outside == []


def test_every_dependency_has_a_lowest_version_and_no_highest():
    """A bound above would keep a mended release out. A fault of a release is named where it is kept out: !=."""
    everything = wanted(tuple(PROJECT["optional-dependencies"]))
    operators = {str(wish): {bound.operator for bound in wish.specifier} for wish in everything}
    assert [wish for wish, used in operators.items() if not {">="} <= used <= {">=", "!="}] == []


@pytest.mark.parametrize("larger", ["requirements-dev.txt", "requirements-bench.txt"])
def test_what_is_tested_and_measured_is_what_is_deployed(larger):
    deployed = {name: version_of(pin) for name, pin in pins("requirements.txt").items()}
    tested = {name: version_of(pin) for name, pin in pins(larger).items()}
    assert {name: tested.get(name) for name in deployed} == deployed


def test_the_lowest_list_has_the_lowest_version_of_each_dependency():
    pinned = pins("requirements-lowest.txt")
    above = {
        requirement.name: (lowest, version_of(pinned[canonicalize_name(requirement.name)]))
        for requirement in wanted(("dev",))
        for lowest in (bound.version for bound in requirement.specifier if bound.operator == ">=")
        if not version_of(pinned[canonicalize_name(requirement.name)]).startswith(lowest)
    }
    assert above == {}


def uv() -> str:
    """Where uv is; skips the test where it is missing."""
    beside = Path(sys.executable).with_name("uv")
    program = str(beside) if beside.is_file() else shutil.which("uv")
    if program is None:
        pytest.skip("uv is missing: pip install uv")
    return program


@pytest.mark.slow
def test_make_lock_changes_nothing(tmp_path):
    """What is locked stays as it is: each list is its own constraint. uv asks the package index, or its own cache."""
    for name in ("pyproject.toml", "Makefile", "tests/schemathesis/requirements.in", "tests/supply/sbom.in", *LOCKED):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, tmp_path / name)
    path = f"{Path(uv()).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["make", "lock"], cwd=tmp_path, env={**os.environ, "PATH": path}, capture_output=True, text=True
    )
    if re.search("error sending request|dns error|Failed to fetch|timed out", done.stderr):
        pytest.skip("uv cannot reach the package index")
    assert done.returncode == 0, done.stderr
    changed = [name for name in LOCKED if (tmp_path / name).read_bytes() != (ROOT / name).read_bytes()]
    assert changed == [], "Run: make lock"
