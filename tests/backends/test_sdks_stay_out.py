"""A backend that is not selected costs nothing: its module imports without its SDK."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = """
import sys
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("google", "azure", "google_crc32c", "requests"):
            raise ImportError(f"{name} is not installed here")
sys.meta_path.insert(0, Refuse())
import importlib
module = importlib.import_module(sys.argv[1])
print(sorted(module.register_storage_backends()))
"""


@pytest.mark.parametrize(
    ("module", "schemes"), [("backends.gcs", ["gcs", "gs"]), ("backends.azure", ["abfs", "az", "azure"])]
)
def test_a_backend_registers_without_its_sdk(module: str, schemes: list[str]) -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM, module], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.strip() == str(schemes), done.stderr
