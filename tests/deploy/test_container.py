"""The image and its compose file: what they promise stands in them, and what the image would hold serves.

No image is built here, which needs a daemon and a registry. What the Dockerfile copies is run as the image would run
it: by its user, from files that nobody may write, with its environment and its own commands.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from fnmatch import fnmatch
from pathlib import Path

import pytest
import yaml

from settings import ROOT, load, variables
from simulator.application import Checkout, Process
from simulator.processes import free_port
from tests.services.application import without_places
from tests.services.checkout import copy_files
from tests.test_house import tracked

DOCKERFILE = re.sub(r"\\\n\s*", "", (ROOT / "Dockerfile").read_text())
COMPOSE = yaml.safe_load((ROOT / "compose.yaml").read_text())
NOT_DEPLOYED = {"tests", "bench", "docs", "examples", "deploy", ".ci"}


def instructions(name):
    return re.findall(rf"^\s*{name} (.*)$", DOCKERFILE, re.MULTILINE)


ENVIRONMENT = dict(re.findall(r"(\w+)=(\S+)", " ".join(instructions("ENV"))))
HEALTH = json.loads(re.findall(r"HEALTHCHECK .*?CMD (\[.*\])", DOCKERFILE)[0])
(START,) = map(json.loads, re.findall(r"(?m)^CMD (.*)$", DOCKERFILE))


def copied():
    """The tracked files that the allow-list lets into the image."""
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    allowed = [line[1:] for line in lines if line.startswith("!")]
    assert "*" in lines
    return [path for path in tracked() if any(fnmatch(path.relative_to(ROOT).parts[0], entry) for entry in allowed)]


# --- The image -------------------------------------------------------------------------------------------------------


def test_the_image_has_the_python_that_the_platforms_have():
    python = (ROOT / ".python-version").read_text().strip()
    assert {line.split()[0] for line in instructions("FROM")} == {f"python:{python}-slim"}


def test_the_image_runs_as_a_numbered_user_who_owns_the_data_alone():
    (user,) = instructions("USER")
    number, group = user.split(":")
    assert int(number) > 0
    assert int(group) > 0
    assert f"install -d -m 0700 -o {number} -g {group} /data" in instructions("RUN")
    assert "chown" not in DOCKERFILE


def test_only_pinned_packages_get_into_the_image_and_nothing_from_elsewhere():
    (install,) = [line for line in instructions("RUN") if line.startswith("pip ")]
    assert "--require-hashes" in install
    assert "-r /app/requirements.txt" in install
    assert instructions("ADD") == []
    assert not re.search(r"curl|wget|apt-get|://(?!/)", DOCKERFILE.replace("file:///", "").replace("sqlite:////", ""))


def test_no_volume_is_declared():
    assert instructions("VOLUME") == []  # Railway refuses the file for it


def test_the_image_sets_only_what_the_app_knows_and_accepts():
    ours = {name: text for name, text in ENVIRONMENT.items() if name in {known for known, *_ in variables()}}
    assert ENVIRONMENT.keys() - ours.keys() == {"PATH", "PYTHONDONTWRITEBYTECODE", "PYTHONUNBUFFERED", "PORT"}
    chosen = load(ours)
    assert chosen.database_url.startswith("sqlite:////data/")
    assert chosen.storage_url == ("file:///data/recordings",)


def test_the_image_holds_what_runs_and_nothing_else():
    tops = {path.relative_to(ROOT).parts[0] for path in tracked()}
    code = {top for top in tops if (ROOT / top).is_dir() or top.endswith(".py")} - NOT_DEPLOYED
    assert {path.relative_to(ROOT).parts[0] for path in copied()} == code | {"requirements.txt", "LICENSE"}


class Container(Process):
    """What the image would hold, started by the image's command. `folder` is made by and for this test alone."""

    def __init__(self, folder: Path, settings: dict[str, str]) -> None:
        self.port = free_port()
        self.data = folder / "data"
        app = folder / "app"
        copy_files(copied(), app)
        (number, group) = instructions("USER")[0].split(":")
        self.user = ["setpriv", f"--reuid={number}", f"--regid={group}", "--clear-groups", "--inh-caps=-all"]
        if os.geteuid() != 0 or subprocess.run([*self.user, sys.executable, "-c", ""], check=False).returncode:
            self.user = []  # the Python of these tests lies where only its owner may read
        self.data.mkdir(mode=0o700)
        if self.user:
            os.chown(self.data, int(number), int(group))
        for path in (*app.rglob("*"), app):
            path.chmod(0o555 if path.is_dir() else 0o444)
        own = {name: text.replace("/data", str(self.data)) for name, text in ENVIRONMENT.items() if name != "PATH"}
        own |= {"PORT": str(self.port), "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
        super().__init__([], {**settings, **own, "HOME": "/"}, folder / "log", Checkout(app))

    def command(self):
        return [*self.user, *START]

    def healthy(self):
        return subprocess.run([*self.user, *HEALTH], env=self.env, capture_output=True, check=False).returncode == 0

    ready = healthy


@pytest.fixture
def container(make_environ):
    if shutil.which("setpriv") is None:
        pytest.skip("setpriv is not installed: apt-get install util-linux")
    folder = Path(tempfile.mkdtemp(prefix="tapekeeper-container-", dir="/tmp"))
    folder.chmod(0o755)  # another user has to get into it
    container = Container(folder, without_places(make_environ(folder)))
    yield container
    if container.started:
        container.kill()
    shutil.rmtree(folder)


@pytest.mark.slow
def test_what_the_image_holds_serves_from_a_root_that_nobody_writes_and_ends_in_order(container):
    assert not container.healthy()
    container.start()
    before = sorted(container.checkout.root.rglob("*"))
    assert container.healthy()
    container.wait_until_ready()
    container.signal(signal.SIGTERM)
    assert container.wait(30) == 0, container.last_lines()
    assert not container.healthy()
    assert sorted(container.checkout.root.rglob("*")) == before
    assert (container.data / "tapekeeper.db").exists()


def judged(program, *arguments):
    """Whether a linter of the development packages finds nothing wrong, and what it says."""
    path = shutil.which(program, path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    if path is None:
        pytest.skip(f"{program} is not installed: pip install -r requirements-dev.txt")
    done = subprocess.run([path, *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


def test_hadolint_finds_nothing_in_the_dockerfile(tmp_path):
    assert judged("hadolint", "Dockerfile") == (0, "")
    (tmp_path / "Dockerfile").write_text("FROM debian\nRUN cd /x\n")
    assert judged("hadolint", f"{tmp_path}/Dockerfile")[0] != 0


# --- Compose ---------------------------------------------------------------------------------------------------------


def test_compose_knows_every_key_of_the_file(tmp_path):
    schema = ("check-jsonschema", "--builtin-schema", "vendor.compose-spec")
    assert judged(*schema, "compose.yaml")[0] == 0
    (tmp_path / "compose.yaml").write_text((ROOT / "compose.yaml").read_text().replace("read_only:", "readonly:"))
    assert judged(*schema, f"{tmp_path}/compose.yaml")[0] != 0


@pytest.mark.parametrize("name", ["web", "worker"])
def test_both_processes_are_locked_in_and_are_given_time_to_end(name):
    service = COMPOSE["services"][name]
    assert service["read_only"] is True
    assert service["tmpfs"] == ["/tmp"]
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["stop_grace_period"] == "30s"
    assert service["depends_on"] == {"database": {"condition": "service_healthy"}}
    assert service["image"] == "tapekeeper"
    assert service["environment"]["DATABASE_URL"].startswith("postgres://")
    assert service["volumes"] == ["recordings:/data"]


def test_one_service_serves_and_the_other_archives():
    web, worker = COMPOSE["services"]["web"], COMPOSE["services"]["worker"]
    assert "command" not in web
    assert web["environment"]["EMBEDDED_WORKER"] == "false"
    assert worker["command"] == ["flask", "worker"]
    assert worker["healthcheck"] == {"disable": True}


def test_only_this_machine_reaches_the_web_process_and_nobody_the_database():
    assert COMPOSE["services"]["web"]["ports"] == [f"127.0.0.1:8000:{ENVIRONMENT['PORT']}"]
    assert [name for name, service in COMPOSE["services"].items() if "ports" in service] == ["web"]


def test_no_password_is_written_down_and_a_missing_one_is_told():
    database = COMPOSE["services"]["database"]
    assert database["environment"]["POSTGRES_PASSWORD"].startswith("${POSTGRES_PASSWORD:?")
    assert "${POSTGRES_PASSWORD:?" in COMPOSE["services"]["web"]["environment"]["DATABASE_URL"]
    assert COMPOSE["volumes"].keys() == {"recordings", "catalogue"}
