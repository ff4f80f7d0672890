"""Debian from nothing: a root with Python that a program of these tests is put into, made once by debootstrap.

It is kept in `build/debian` of the checkout, beside the packages of `requirements.txt` as files. Takes root, and the
registries that apt and pip use here.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from settings import ROOT

from .databases import NotInstalled

RELEASE = "bookworm"
PYTHON = "3.11"  # that Debian's
_PACKAGES = ("python3", "python3-venv", "python3-pip", "ca-certificates", "git", "nginx")
_KEPT = ROOT / "build"

_ENTER = """
    set -e
    root=$1 how=$2 user=$3 folder=$4; shift 4
    mount --rbind "$root" "$root"
    mount -t proc proc "$root/proc"
    mount -t tmpfs -o mode=1777 tmpfs "$root/tmp"
    mount -t tmpfs -o mode=0755 tmpfs "$root/dev"
    for name in null zero random urandom; do
        touch "$root/dev/$name"
        mount --bind "/dev/$name" "$root/dev/$name"
    done
    mkdir "$root/dev/shm" && mount -t tmpfs -o mode=1777 tmpfs "$root/dev/shm"
    while [ "$1" != -- ]; do mkdir -p "$root$2"; mount --bind "$1" "$root$2"; shift 2; done
    shift
    mount -o "remount,bind,$how" "$root"
    exec chroot --userspec="$user" --groups= "$root" /usr/bin/env -i --chdir="$folder" "$@"
"""


def inside(
    root: Path,
    arguments: Sequence[str],
    settings: Mapping[str, str],
    *,
    mounts: Mapping[str, Path],
    user: str = "0:0",
    folder: str = "/",
    read_only: bool = False,
) -> list[str]:
    """A command line that runs this command in a root, with these settings and no others.

    `/tmp` is in memory, and `mounts` names what lies where. What is mounted is seen by this command alone.
    """
    bound = [text for place, source in mounts.items() for text in (str(source), place)]
    env = [f"{name}={text}" for name, text in settings.items()]
    places = [str(root), "ro" if read_only else "rw", user, folder, *bound, "--"]
    return ["unshare", "--mount", "sh", "-c", _ENTER, "sh", *places, *env, *arguments]


def base() -> Path:
    """A root of Debian with Python, pip, git and nginx. Nobody writes to it: copy it, or mount it read-only."""
    folder = _KEPT / "debian"
    if folder.exists():
        return folder
    if os.geteuid() != 0 or shutil.which("debootstrap") is None:
        raise NotInstalled("Debian can be made by root alone, with: apt-get install debootstrap")
    part = _KEPT / "debian.part"
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    command = ["debootstrap", "--variant=minbase", f"--include={','.join(_PACKAGES)}", RELEASE, str(part)]
    _run(*command)
    (part / "usr/bin/python").symlink_to("python3")  # as the image python:3 has it
    part.rename(folder)
    return folder


def wheels() -> Path:
    """A folder with every package of requirements.txt, for Debian's Python, and a `pip.conf` that knows it alone."""
    folder = _KEPT / "wheels"
    arguments = ("--require-hashes", "--no-deps", "--only-binary=:all:", "--python-version", PYTHON)
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", *arguments]
    _run(*command, "-r", str(ROOT / "requirements.txt"), "--dest", str(folder))
    (folder / "pip.conf").write_text("[global]\nno-index = true\nfind-links = /wheels\n")
    return folder


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise NotInstalled(f"{command[0]} failed: {(done.stderr or done.stdout)[-500:]}")
