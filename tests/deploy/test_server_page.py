"""The block of docs/deploy.md for a server of one's own, typed as it is into a Debian that has nothing yet."""

from __future__ import annotations

import re
import shutil
import subprocess

import pytest

from settings import ROOT
from tests.docs.pages import section, sources
from tests.services import debian, proxies
from tests.services.application import settings_below
from tests.services.databases import NotInstalled

pytestmark = [pytest.mark.long, pytest.mark.slow, pytest.mark.timeout(900)]

SECTION = section((ROOT / "docs/deploy.md").read_text(), "A server of your own")
(BLOCK,) = sources(SECTION, "console")
TYPED = re.findall(r"`(runuser [^`]+)`", SECTION)

# systemd does not run in a folder: what it is told is written down.
SYSTEMCTL = '#!/bin/sh\necho "$*" >>/root/systemctl\n'


@pytest.fixture
def server(tmp_path):
    """`server(script)`: this script is typed by root on that server, in bash."""
    try:
        base, wheels = debian.base(), debian.wheels()
    except NotInstalled as missing:
        pytest.skip(str(missing))
    root = tmp_path / "server"
    subprocess.run(["cp", "--archive", "--reflink=auto", base, root], check=True)
    (root / "usr/bin/systemctl").write_text(SYSTEMCTL)
    (root / "usr/bin/systemctl").chmod(0o755)
    subprocess.run(["git", "clone", "--quiet", "--bare", ROOT, tmp_path / "repository"], check=True)
    certificates = root / "etc/letsencrypt/live/calls.example.com"
    certificates.mkdir(parents=True)
    proxies.write_certificate(certificates)
    (root / "etc/pip.conf").write_text((wheels / "pip.conf").read_text())
    mounts = {"/wheels": wheels, "/srv/repository": tmp_path / "repository"}
    env = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root", "DEBIAN_FRONTEND": "noninteractive"}

    def run(script):
        command = debian.inside(root, ["bash", "-ec", script], env, mounts=mounts)
        return subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)

    run.root = root
    yield run
    shutil.rmtree(root)


def test_what_the_page_says_sets_a_server_up(server, key_pem):
    root = server.root
    done = server("git config --global --add safe.directory '*'\n" + BLOCK.replace("REPOSITORY", "/srv/repository"))
    assert done.returncode == 0, done.stdout[-1000:] + done.stderr[-3000:]
    assert (root / "root/systemctl").read_text().splitlines() == [
        "daemon-reload",
        "enable --now tapekeeper",
        "reload nginx",
    ]
    cloned = root / "opt/tapekeeper"
    unit = (cloned / "deploy/systemd/tapekeeper.service").read_text()
    assert (root / "etc/systemd/system/tapekeeper.service").read_text() == unit
    written = root / "etc/tapekeeper/env"
    assert written.stat().st_mode & 0o777 == 0o640

    settings = settings_below(root, key_pem.replace("\n", "\\n"), PUBLIC_URL="https://calls.example.com")
    text = written.read_text()
    for name, value in settings.items():
        text = re.sub(rf"^{name}=$", lambda _, line=f"{name}={value}": line, text, flags=re.MULTILINE)
    written.write_text(text)
    state = "install -d -m 0700 -o tapekeeper -g tapekeeper /var/lib/tapekeeper"  # systemd makes it
    (typed,) = TYPED
    done = server(f"{state}; cd /opt/tapekeeper; {typed.replace('doctor', 'migrate')}; {typed}")
    assert "file:///var/lib/tapekeeper/recordings" in done.stdout, done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    assert (root / "var/lib/tapekeeper/tapekeeper.db").exists()
    others = server("cd /opt/tapekeeper; runuser -u www-data -- cat .env /etc/tapekeeper/env")
    assert others.returncode != 0, "nobody else reads the secrets"
