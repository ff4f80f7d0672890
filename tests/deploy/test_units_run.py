"""The units' own commands, locked in as the units say, from the folder that docs/deploy.md installs into.

systemd does not run here. What it would do to the programs is done by `tests.services.locked_in`.
"""

from __future__ import annotations

import json
import os
import shlex
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from simulator.application import Process
from simulator.delivery import new_session
from simulator.processes import free_port
from tests.deploy.test_units import INSTALLED, values
from tests.services import locked_in
from tests.services.application import settings_below, without_places
from tests.services.checkout import copy_files
from tests.test_house import tracked

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]  # it waits for much, on a machine that may be busy

STATE = "/var/lib/tapekeeper"
VERSION = f"{sys.version_info.major}.{sys.version_info.minor}"
PACKAGES = f"lib/python{VERSION}/site-packages"


@pytest.fixture(scope="module")
def installation(tmp_path_factory):
    """The checkout with its virtual environment, as the page makes them; the packages are those of these tests."""
    missing = locked_in.lacking()
    if missing:
        pytest.skip(missing)
    folder = tmp_path_factory.mktemp("installed")
    copy_files(tracked(), folder)
    (folder / ".venv" / PACKAGES).mkdir(parents=True)
    (folder / ".venv/pyvenv.cfg").write_text(f"home = {sys.base_prefix}/bin\n")
    (folder / ".venv/bin").mkdir()
    (folder / ".venv/bin/python").symlink_to(f"{sys.base_prefix}/bin/python{VERSION}")
    for name in ("gunicorn", "flask"):
        _, _, rest = (Path(sys.executable).parent / name).read_text().partition("\n")
        (folder / ".venv/bin" / name).write_text(f"#!{INSTALLED}/.venv/bin/python\n{rest}")
        (folder / ".venv/bin" / name).chmod(0o755)
    for path in (folder, *folder.rglob("*")):
        if not path.is_symlink():
            path.chmod(path.stat().st_mode | (0o555 if path.is_dir() else 0o444))
    return folder


class Unit(Process):
    """The program of a unit, with the settings that /etc/tapekeeper/env would hold. `state` is its folder."""

    def __init__(self, name, installation, folder, settings):
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.name = name
        state = folder / "state"
        if not state.exists():
            state.mkdir(mode=0o700)
            os.chown(state, locked_in.USER, locked_in.USER)
        allowed, refused = locked_in.allowed_calls(values(name, "SystemCallFilter"))
        (command,) = values(name, "ExecStart")
        plan = {
            "binds": [
                (str(installation), INSTALLED),
                (str(Path(sys.prefix) / PACKAGES), f"{INSTALLED}/.venv/{PACKAGES}"),
                (str(state), STATE),
            ],
            "writable": STATE,
            "folder": values(name, "WorkingDirectory")[0],
            "umask": int(values(name, "UMask")[0], 8),
            "files": int(values(name, "LimitNOFILE")[0]),
            "allowed": sorted(allowed),
            "refused": sorted(refused),
            "error": values(name, "SystemCallErrorNumber")[0],
            "no_code_in_memory": values(name, "MemoryDenyWriteExecute") == ["yes"],
            "python": sys.base_prefix,
            "command": shlex.split(command),
            "environment": dict(value.split("=", 1) for value in values(name, "Environment"))
            | {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
            | {"HOME": INSTALLED, "USER": "tapekeeper", "LOGNAME": "tapekeeper"}
            | settings
            | {"GUNICORN_CMD_ARGS": f"--bind 127.0.0.1:{self.port}"},  # the only thing that another machine has not
        }
        self.plan = folder / f"{name}.json"
        self.plan.write_text(json.dumps(plan))
        super().__init__([], {}, folder / f"{name}.log")

    def command(self):
        return ["unshare", "--mount", sys.executable, locked_in.__file__, str(self.plan)]

    def ready(self):
        if self.name == "tapekeeper-worker":
            return "Archiving into" in self.output()
        try:
            with new_session() as session:
                return session.get(f"{self.url}/healthz", timeout=2).status_code == 200
        except OSError:
            return False

    def flask(self, *arguments):
        """A command in the same lock, as a person types it."""
        return self.run(f"{INSTALLED}/.venv/bin/flask", *arguments)

    def run(self, *command):
        plan = json.loads(self.plan.read_text())
        plan["command"] = command
        path = self.plan.with_name("command.json")
        path.write_text(json.dumps(plan))
        arguments = ["unshare", "--mount", sys.executable, locked_in.__file__, str(path)]
        return subprocess.run(arguments, capture_output=True, text=True, timeout=100, check=False)


@pytest.fixture
def start(installation, tmp_path, vonage, key_pem):
    """`start(name)`: the unit runs."""
    settings = settings_below(tmp_path, key_pem, RECORDING_HOSTS=vonage.origin, PUBLIC_URL="https://calls.example.com")
    made = []

    def make(name):
        made.append(Unit(name, installation, tmp_path, without_places(settings)))
        return made[-1].start(120)

    yield make
    for unit in made:
        if unit.running:
            unit.kill()


@pytest.mark.parametrize("names", [("tapekeeper",), ("tapekeeper-web", "tapekeeper-worker")], ids=" ".join)
def test_a_recording_is_archived_from_within_the_lock_and_the_end_is_in_order(start, vonage, until, names):
    units = [start(name) for name in names]
    web = units[0]
    audio = vonage.add_file()
    payload = vonage.recording_event(audio)
    assert [
        reply.status for reply in vonage.post_recording_event(f"{web.url}/webhooks/recordings", payload).replies
    ] == [204]
    until(lambda: _state(web) == "stored", "the recording is stored", 60, pause=0.5)
    until(lambda: _has_waveform(web), "its picture is drawn", 90, pause=0.5)
    verified = web.flask("recordings", "verify", "--deep")
    assert verified.returncode == 0, verified.stdout + verified.stderr
    backed_up = web.flask("backup", f"{STATE}/copy.db")
    assert backed_up.returncode == 0, backed_up.stderr
    for unit in units:
        unit.signal(signal.SIGTERM)
        assert unit.wait(30) == 0, unit.last_lines()
        assert "Traceback" not in unit.output()


def test_the_lock_holds(start):
    """Else the journey above would prove nothing."""
    web = start("tapekeeper-web")
    refused = web.flask("backup", f"{INSTALLED}/copy.db")
    assert "Read-only file system" in refused.stderr
    tried = ["os.chown('/tmp', 0, 0)", "mmap.mmap(-1, 1, prot=7)", "socket.socket(socket.AF_NETLINK)"]
    for line in (*tried, "os.listdir('/root')"):
        done = web.run(f"{INSTALLED}/.venv/bin/python", "-c", f"import mmap, os, socket; {line}")
        assert done.stderr.splitlines()[-1].startswith(("PermissionError", "OSError")), line


def _state(web):
    listed = web.flask("recordings", "list", "--json")
    assert listed.returncode == 0, listed.stderr
    return json.loads(listed.stdout)["state"] if listed.stdout.strip() else None


def _has_waveform(web):
    with closing(sqlite3.connect(f"file:{web.plan.parent}/state/tapekeeper.db?mode=ro", uri=True)) as connection:
        return connection.execute("SELECT count(*) FROM waveforms").fetchone()[0] > 0
