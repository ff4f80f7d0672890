"""The lists of pins beside `pyproject.toml`, read as what they are; nothing here resolves anything."""

from __future__ import annotations

import re
import tomllib

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from settings import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

# Each list, and the extras of `pyproject.toml` that it holds beside the dependencies.
LISTS = {
    "requirements.txt": (),
    "requirements-dev.txt": ("dev",),
    "requirements-bench.txt": ("dev", "bench"),
    "requirements-lowest.txt": ("dev",),
}


def wanted(extras: tuple[str, ...] = ()) -> list[Requirement]:
    """What `pyproject.toml` asks for."""
    texts = PROJECT["dependencies"] + [text for extra in extras for text in PROJECT["optional-dependencies"][extra]]
    return [Requirement(text) for text in texts]


def pins(name: str) -> dict[str, Requirement]:
    """The pins of a list by their names in canonical spelling; one that is not for every platform has a marker."""
    lines = re.findall(r"(?m)^([a-zA-Z0-9][^\\#\n]*)", (ROOT / name).read_text())
    requirements = [Requirement(line.strip()) for line in lines]
    return {canonicalize_name(pin.name): pin for pin in requirements}


def version_of(pin: Requirement) -> str:
    """The one version that a pin allows."""
    (only,) = pin.specifier
    assert only.operator == "==", pin
    return only.version
