"""The time limit of tests: it ends a test that hangs, and never breaks into an example of a property test."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LIMITED = """
import time
from hypothesis import given, settings, strategies

@settings(max_examples=20, deadline=None, database=None)
@given(strategies.integers())
def test_property(number):
    time.sleep(0.05)

def test_that_hangs():
    time.sleep(20)
"""


def test_a_property_test_has_no_time_limit_and_every_other_test_has(tmp_path):
    (tmp_path / "conftest.py").write_text("from tests.conftest import pytest_collection_modifyitems\n")
    (tmp_path / "test_limited.py").write_text(LIMITED)
    command = [sys.executable, "-m", "pytest", "-c", "pyproject.toml", "-p", "no:cacheprovider", "--timeout=0.6", "-v"]
    done = subprocess.run([*command, str(tmp_path)], cwd=ROOT, capture_output=True, text=True, timeout=100)
    assert "test_property PASSED" in done.stdout, done.stdout
    assert "test_that_hangs FAILED" in done.stdout
    assert "Timeout (>0.6s)" in done.stdout
