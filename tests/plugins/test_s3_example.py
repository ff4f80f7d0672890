"""The S3 example is a package that a stranger could have written: it installs, is found, archives, and tests itself."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.services.moto_s3 import EXAMPLE, install, moto_s3, s3_client

ROOMS = {"backends", "commands", "console", "plugins", "recordings", "settings", "simulator", "webhooks", "wsgi"}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return install(tmp_path_factory.mktemp("s3"))


@pytest.fixture(scope="module")
def s3() -> Iterator[dict[str, str]]:
    with moto_s3("tapes") as env:
        yield env


def test_it_imports_nothing_of_ours() -> None:
    imported = set()
    for node in ast.walk(ast.parse((EXAMPLE / "tapekeeper_s3.py").read_text())):
        if isinstance(node, ast.Import):
            imported |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            imported.add((node.module or "").split(".")[0])
    assert imported & ROOMS == set()
    assert {"boto3", "pluggy"} <= imported


@pytest.mark.slow
def test_its_own_tests_pass(site: Path) -> None:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", str(EXAMPLE)]
    env = os.environ | {"PYTHONPATH": str(site), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(command, cwd=EXAMPLE, env=env, capture_output=True, text=True, timeout=110, check=False)
    assert done.returncode == 0, done.stdout


@pytest.mark.slow
def test_once_installed_it_is_listed_and_tried(site, s3, make_environ, bare_environ, flask_process, tmp_path) -> None:
    (tmp_path / "plugins").mkdir()
    settings = make_environ(tmp_path, STORAGE_URL="s3://tapes/calls")
    env = bare_environ | settings | s3 | {"PYTHONPATH": str(site)}
    listed = [json.loads(line) for line in flask_process(["plugins", "--json"], env).stdout.splitlines()]
    (plugin,) = [plugin for plugin in listed if plugin["name"] == "s3"]
    assert plugin["file_or_distribution"] == "tapekeeper-s3 1.0.0"
    assert (plugin["origin"], plugin["schemes"], plugin["state"]) == ("package", ["s3"], "active")

    tried = flask_process(["contract", "--large-mb", "0", "s3://tapes/elsewhere"], env)
    assert tried.returncode == 0, tried.stdout + tried.stderr
    assert "22 of 23 promises kept; 1 not tried (memory_stays_bounded)." in tried.stdout

    findings = [json.loads(line) for line in flask_process(["doctor", "--json"], env).stdout.splitlines()]
    (storage,) = [finding for finding in findings if finding["part"] == "storage"]
    assert storage["level"] == "ok", storage
    client = s3_client(s3)
    assert client.list_objects_v2(Bucket="tapes")["KeyCount"] == 0, "neither leaves anything in the bucket"
    client.close()
