"""The units of systemd: systemd takes them, they lock the app in, and they agree with each other and with gunicorn."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from settings import ROOT, lacking, load, variables

UNITS = {path.stem: path for path in sorted((ROOT / "deploy/systemd").glob("*.service"))}
INSTALLED = "/opt/tapekeeper"
EXPOSURE = 20  # tenths, by the count of `systemd-analyze security`; 100 is a program that may do everything

analyze = pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")


def lines(name):
    """The unit's entries in their order."""
    text = UNITS[name].read_text()
    return [tuple(line.split("=", 1)) for line in text.splitlines() if "=" in line and not line.startswith("#")]


def values(name, key):
    return [value for known, value in lines(name) if known == key]


@pytest.fixture
def installed(tmp_path):
    """The units with the programs of this checkout."""

    def write(name):
        path = tmp_path / UNITS[name].name
        programs = UNITS[name].read_text().replace(f"{INSTALLED}/.venv/bin", str(Path(sys.executable).parent))
        path.write_text(programs.replace(INSTALLED, str(ROOT)))
        return path

    return write


def run(*words):
    return subprocess.run(["systemd-analyze", *map(str, words)], capture_output=True, text=True, check=False)


@analyze
@pytest.mark.parametrize("name", UNITS)
def test_systemd_takes_the_unit_without_a_complaint(installed, name):
    judged = run("verify", "--man=no", installed(name))
    assert (judged.returncode, judged.stderr) == (0, "")


@analyze
@pytest.mark.parametrize("name", UNITS)
def test_the_app_is_locked_in(installed, name):
    judged = run("security", "--offline=true", f"--threshold={EXPOSURE}", "--no-pager", installed(name))
    assert judged.returncode == 0, judged.stdout


def test_all_units_are_locked_in_alike():
    own = ("MemoryDenyWriteExecute", "yes")  # where no audio is decoded
    assert [name for name in UNITS if own in lines(name)] == ["tapekeeper-web"]
    locks = {name: [line for line in lines(name) if line != own] for name in UNITS}
    alike = [lock[[key for key, _ in lock].index("User") :] for lock in locks.values()]
    assert UNITS.keys() == {"tapekeeper", "tapekeeper-web", "tapekeeper-worker"}
    assert alike[0] == alike[1] == alike[2]


@pytest.mark.parametrize("name", UNITS)
def test_the_units_defaults_lie_in_the_folder_that_it_may_write(name):
    (folder,) = values(name, "StateDirectory")
    chosen = load(dict(value.split("=", 1) for value in values(name, "Environment")))
    assert chosen.database_url.startswith(f"sqlite:////var/lib/{folder}/")
    assert chosen.storage_url == (f"file:///var/lib/{folder}/recordings",)


def test_the_file_of_settings_has_all_that_must_be_set_and_the_units_own_places():
    """So that a command which is typed finds the catalogue that the unit uses."""
    text = (ROOT / "deploy/systemd/env").read_text()
    written = dict(line.split("=", 1) for line in text.splitlines() if not line.startswith("#"))
    assert {problem.name for problem in lacking(load({}))} <= written.keys()
    assert written.keys() <= {name for name, *_ in variables()}
    assert {name: value for name, value in written.items() if value} == {
        "PROXY_HOPS": "1",
        **dict(value.split("=", 1) for value in values("tapekeeper", "Environment")),
    }


def test_only_where_a_worker_runs_beside_it_the_web_process_does_not_archive():
    assert "EMBEDDED_WORKER=false" in values("tapekeeper-web", "Environment")
    assert "EMBEDDED_WORKER=false" not in values("tapekeeper", "Environment")
    assert values("tapekeeper-worker", "ExecStart") == [f"{INSTALLED}/.venv/bin/flask worker"]
    for name in ("tapekeeper", "tapekeeper-web"):
        assert values(name, "ExecStart") == [f'{INSTALLED}/.venv/bin/gunicorn "wsgi:create_app()"']
        assert values(name, "ExecReload") == ["/bin/kill -HUP $MAINPID"]


@pytest.mark.parametrize("name", UNITS)
def test_systemd_gives_the_app_its_time_to_end_and_leaves_a_wrong_setting_alone(name):
    gunicorn: dict[str, object] = {}
    exec((ROOT / "gunicorn.conf.py").read_text(), gunicorn)
    assert int(values(name, "TimeoutStopSec")[0]) > gunicorn["graceful_timeout"]
    assert values(name, "RestartPreventExitStatus") == ["3"]
    assert values(name, "KillMode") == ["mixed"]


@pytest.mark.slow
def test_gunicorn_tells_systemd_when_it_is_ready(make_gunicorn, tmp_path):
    assert values("tapekeeper", "Type") == values("tapekeeper-web", "Type") == ["notify"]
    with tempfile.TemporaryDirectory(dir="/tmp") as folder, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(f"{folder}/notify")  # a short path: https://man7.org/linux/man-pages/man7/unix.7.html
        systemd.settimeout(60)
        make_gunicorn(tmp_path, NOTIFY_SOCKET=f"{folder}/notify").spawn()
        assert b"READY=1" in systemd.recv(4096)
