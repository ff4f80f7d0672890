"""The built-in backends: which there are, and which schemes each of them registers."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from backends import BUILTINS
from plugins.manager import load_plugins

ROOT = Path(__file__).resolve().parents[2]


def test_each_built_in_registers_its_schemes() -> None:
    schemes = load_plugins(BUILTINS, entry_points=[]).schemes
    assert schemes == {"file": "local", "gs": "gcs", "gcs": "gcs", "az": "azure", "azure": "azure", "abfs": "azure"}


@pytest.mark.parametrize("package", BUILTINS)
def test_a_backend_that_is_not_selected_costs_no_import_but_its_hook(package: str) -> None:
    program = f"import sys, pluggy; before = set(sys.modules); import {package}; print(*set(sys.modules) - before)"
    run = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True)
    imported = {name for name in run.stdout.split() if name.partition(".")[0] not in sys.stdlib_module_names}
    assert imported == {"backends", package}, run.stderr
