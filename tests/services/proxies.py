"""nginx and Caddy out of Debian's packages, with the files of `deploy/`: only names, ports and paths are put in.

They are context managers. `NotInstalled` says what is missing.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
from abc import ABC, abstractmethod
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from simulator.application import ROOT
from simulator.processes import environment, free_port, wait_for

from .databases import PATIENCE, NotInstalled

NGINX = """\
{user}
daemon off;
pid {folder}/pid;
error_log {folder}/error.log;
worker_processes 1;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    include {folder}/tapekeeper.conf;
}}
"""


class PrivateProxy(ABC):
    """A proxy at `url`, before an app that listens at `port` of this machine; all that it writes is below `folder`."""

    name = ""
    package = ""

    def __init__(self, folder: Path, port: int) -> None:
        program = shutil.which(self.name, path=f"{os.environ.get('PATH', '')}:/usr/sbin")
        if program is None:
            raise NotInstalled(f"{self.name} is not installed: apt-get install {self.package}")
        self.program, self.folder, self.app_port = program, folder, port
        folder.mkdir()
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.process: subprocess.Popen[bytes] | None = None

    def written(self) -> str:
        """Everything in its logs."""
        return "".join(path.read_text(errors="replace") for path in self.folder.glob("*.log"))

    @abstractmethod
    def command(self) -> list[str]:
        """The command that serves until it is ended."""

    def __enter__(self) -> Self:
        env = environment({"HOME": str(self.folder), "XDG_DATA_HOME": str(self.folder)})
        with (self.folder / "output.log").open("ab") as log:
            process: subprocess.Popen[bytes] = subprocess.Popen(
                self.command(), stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, env=env
            )
        self.process = process
        wait_for(lambda: process.poll() is not None or self._listens(), f"{self.name} listens", PATIENCE)
        assert process.poll() is None, self.written()
        return self

    def __exit__(self, *_: object) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(PATIENCE)

    def _listens(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0


class Nginx(PrivateProxy):
    """nginx with `deploy/nginx.conf`: with TLS as it is there, and without at `url`."""

    name = "nginx"
    package = "nginx-light"

    def __init__(self, folder: Path, port: int) -> None:
        super().__init__(folder, port)
        write_certificate(folder)
        changes = {
            "server 127.0.0.1:8000;": f"server 127.0.0.1:{port};",
            "listen 80;": f"listen 127.0.0.1:{free_port()};",
            "listen 443 ssl;": f"listen 127.0.0.1:{free_port()} ssl; listen 127.0.0.1:{self.port};",
            "/etc/letsencrypt/live/calls.example.com": str(folder),
            "/var/log/nginx": str(folder),
        }
        (folder / "tapekeeper.conf").write_text(_changed("deploy/nginx.conf", changes))
        user = "user root;" if os.geteuid() == 0 else ""
        (folder / "nginx.conf").write_text(NGINX.format(folder=folder, user=user))

    def command(self) -> list[str]:
        return [self.program, "-e", f"{self.folder}/error.log", "-c", f"{self.folder}/nginx.conf"]

    def judge(self) -> subprocess.CompletedProcess[str]:
        """What it says of its configuration, with the certificate."""
        return subprocess.run([*self.command(), "-t"], capture_output=True, text=True, check=False)


class Caddy(PrivateProxy):
    """Caddy with `deploy/Caddyfile`, without TLS."""

    name = "caddy"
    package = "caddy"

    def __init__(self, folder: Path, port: int) -> None:
        super().__init__(folder, port)
        changes = {
            "127.0.0.1:8000": f"127.0.0.1:{port}",
            "\ncalls.example.com {": f"\n{{\n\tadmin off\n}}\n\n{self.url} {{",
        }
        (folder / "Caddyfile").write_text(_changed("deploy/Caddyfile", changes))

    def command(self) -> list[str]:
        return [self.program, "run", "--config", f"{self.folder}/Caddyfile", "--adapter", "caddyfile"]

    def judge(self) -> subprocess.CompletedProcess[str]:
        """What it says of its configuration."""
        command = [self.program, "validate", "--config", f"{self.folder}/Caddyfile", "--adapter", "caddyfile"]
        return subprocess.run(command, capture_output=True, text=True, check=False)


def _changed(file: str, changes: dict[str, str]) -> str:
    text = (ROOT / file).read_text()
    for old, new in changes.items():
        assert old in text, f"{file} has no {old!r}"
        text = text.replace(old, new)
    return text


def write_certificate(folder: Path) -> None:
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "calls.example.com")])
    made = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), now, now + timedelta(1))
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (folder / "privkey.pem").write_bytes(pem)
    (folder / "fullchain.pem").write_bytes(made.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM))
