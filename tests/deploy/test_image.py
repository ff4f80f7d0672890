"""The image, built out of the Dockerfile and run as docs/deploy.md says, without a daemon and without a registry.

buildah builds it on Debian's Python, which is committed under the name that the Dockerfile asks for. It runs out of its
own files with its own settings: as its user, on a read-only root, with `/tmp` in memory and `/data` as its only volume.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from settings import ROOT
from simulator.application import Process
from simulator.processes import free_port
from tests.deploy.test_container import instructions
from tests.services import debian
from tests.services.application import settings_below, without_places
from tests.services.databases import NotInstalled

pytestmark = [pytest.mark.long, pytest.mark.slow, pytest.mark.timeout(1200)]

IMAGE = "localhost/tapekeeper-test"
BUILD_SECONDS = 900


def buildah(*arguments):
    done = subprocess.run(["buildah", *arguments], capture_output=True, text=True, timeout=BUILD_SECONDS, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout.strip()


@pytest.fixture(scope="module")
def storage(tmp_path_factory):
    """`storage(*arguments)`: buildah with a place of this module's own for images."""
    if shutil.which("buildah") is None:
        pytest.skip("buildah is not installed: apt-get install buildah debootstrap")
    folder = tmp_path_factory.mktemp("images")
    # vfs: also on a disk without overlays.
    arguments = ["--storage-driver", "vfs", "--root", f"{folder}/root", "--runroot", f"{folder}/run"]
    yield lambda *more: buildah(*arguments, *more)
    subprocess.run(["buildah", *arguments, "rm", "--all"], capture_output=True, check=False)
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def image(storage):
    """The built image: its root, and its configuration."""
    try:
        base, wheels = debian.base(), debian.wheels()
    except NotInstalled as missing:
        pytest.skip(str(missing))
    (name,) = {line.split()[0] for line in instructions("FROM")}
    empty = storage("from", "scratch")
    storage("copy", "--quiet", empty, str(base), "/")
    storage("commit", "--quiet", empty, f"docker.io/library/{name}")
    storage("rm", empty)
    mounts = ("-v", f"{wheels}:/wheels:ro", "-v", f"{wheels}/pip.conf:/etc/pip.conf:ro")
    build = ("--isolation", "chroot", "--pull-never", "--format", "docker", *mounts)
    storage("build", "--quiet", *build, "--tag", IMAGE, str(ROOT))
    container = storage("from", "--pull-never", IMAGE)
    config = json.loads(storage("inspect", "--type", "image", IMAGE))["Docker"]["config"]
    return Path(storage("mount", container)), config


class Running(Process):
    """A command in the image's root. `data` is what is mounted at /data."""

    def __init__(self, image, data, settings, command=None):
        self.root, self.config = image
        self.port = free_port()
        self.data = data
        self._command = command or self.config["Cmd"]
        self._settings = dict(line.split("=", 1) for line in self.config["Env"]) | settings | {"PORT": str(self.port)}
        super().__init__([], {}, data.parent / f"{self._command[0]}.log")

    def command(self):
        return self.inside(self._command)

    def inside(self, arguments):
        """A command line that runs this command as `docker run --read-only --tmpfs /tmp --cap-drop ALL` would."""
        place = {"user": self.config["User"], "folder": self.config["WorkingDir"], "read_only": True}
        return debian.inside(self.root, arguments, self._settings, mounts={"/data": self.data}, **place)

    def run(self, *arguments):
        return subprocess.run(self.inside(arguments), capture_output=True, text=True, timeout=120, check=False)

    def healthy(self):
        (kind, *arguments) = self.config["Healthcheck"]["Test"]
        assert kind == "CMD"
        return self.run(*arguments).returncode == 0

    ready = healthy


@pytest.fixture
def run(image, tmp_path, vonage, key_pem):
    """`run(command)`: a container of the image; without a command its own one. Several share /data."""
    settings = settings_below(tmp_path, key_pem, RECORDING_HOSTS=vonage.origin, PUBLIC_URL="https://calls.example.com")
    data = tmp_path / "data"
    data.mkdir(mode=0o700)
    user, group = map(int, image[1]["User"].split(":"))
    os.chown(data, user, group)
    made = []

    def make(*command, **changes):
        made.append(Running(image, data, without_places(settings) | changes, list(command)))
        return made[-1]

    yield make
    for container in made:
        if container.running:
            container.kill()


def test_the_image_says_how_it_is_run(image):
    root, config = image
    assert config["User"] == "10001:10001"
    assert config["Cmd"] == ["gunicorn", "wsgi:create_app()"]
    assert config["ExposedPorts"] == {"8000/tcp": {}}
    assert not config.get("Volumes")
    inside = {path.name for path in (root / "app").iterdir()}
    assert inside & {"tests", "docs", ".git", ".env", "var", ".venv", "build"} == set()


def test_one_image_serves_and_archives(run, vonage, until):
    web, worker = run(EMBEDDED_WORKER="false"), run("flask", "worker")
    assert not web.healthy()
    web.start(120)
    worker.spawn()
    payload = vonage.recording_event(vonage.add_file())
    sent = vonage.post_recording_event(f"http://127.0.0.1:{web.port}/webhooks/recordings", payload)
    assert [reply.status for reply in sent.replies] == [204]

    def listed():
        done = web.run("flask", "recordings", "list", "--json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    until(lambda: listed()["state"] == "stored", "it is stored", 90, pause=0.5)
    assert web.run("flask", "recordings", "verify", "--deep").returncode == 0
    assert "Read-only file system" in web.run("python", "-c", "open('/app/x', 'w')").stderr
    for container in (web, worker):
        container.signal(signal.SIGTERM)
        assert container.wait(30) == 0, container.last_lines()
        assert "Traceback" not in container.output()


def test_a_folder_of_somebody_else_is_named_with_what_to_do(run, until):
    web = run()
    os.chown(web.data, 0, 0)
    with web:  # it serves what needs no database, and says what to do until somebody does it
        web.wait_until_ready(120)
        until(lambda: "chown 10001" in web.output(), "it says what to do")
        assert "/data" in web.output()
        assert "Traceback" not in web.output()
        os.chown(web.data, 10001, 10001)
        until(lambda: (web.data / "tapekeeper.db").exists(), "it goes on by itself", 60)
