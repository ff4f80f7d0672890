"""Runs the command of a systemd unit locked in as systemd would lock it in, where no systemd runs. Takes root.

What is done of the unit: its environment, user, working folder, umask, limits; a file system that is read-only but for
the state's folder and a `/tmp` of its own; `/dev` and `/proc` as it says; no capability; the filter of system calls,
no memory that is writable and executable, no other address family. As a program, in a mount namespace of its own, it
takes the name of a file with these things as JSON, and becomes the unit's program.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import errno
import json
import os
import re
import resource
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

USER = 10001
IMPLIED = {"execve", "exit", "exit_group", "getrlimit", "rt_sigreturn", "sigreturn", "time"}  # systemd.exec(5)

_ALLOW, _ERRNO = 0x7FFF0000, 0x00050000
_EQUAL, _MASKED_EQUAL = 4, 7
_PROT_WRITE, _PROT_EXEC, _SHM_EXEC = 2, 4, 0o100000
_FAMILIES = {"AF_UNIX": 1, "AF_INET": 2, "AF_INET6": 10}
_AF_MAX = 46


def lacking() -> str:
    """What is missing here to lock a program in; empty: nothing."""
    if os.geteuid() != 0:
        return "locking a program in takes root"
    programs = [program for program in ("unshare", "mount", "systemd-analyze") if shutil.which(program) is None]
    if programs:
        return f"{programs[0]} is not installed"
    if not ctypes.util.find_library("seccomp"):
        return "libseccomp is not installed: apt-get install libseccomp2"
    done = subprocess.run(["unshare", "--mount", "true"], capture_output=True, text=True, check=False)
    return f"no mount namespace can be made here: {done.stderr.strip()}" if done.returncode else ""


def syscall_sets() -> dict[str, set[str]]:
    """systemd's own sets of system calls by their names, such as `@known`, each with the sets that it holds."""
    done = subprocess.run(
        ["systemd-analyze", "syscall-filter", "--no-pager"], capture_output=True, text=True, check=True
    )
    sets: dict[str, set[str]] = {}
    for line in re.sub(r"\x1b\[[0-9;]*m", "", done.stdout).splitlines():
        if line.startswith("@"):
            members = sets[line.strip()] = set()
        elif line.startswith(" ") and not line.strip().startswith("#"):
            members.add(line.strip())
    return sets


def allowed_calls(lines: Iterable[str]) -> tuple[set[str], set[str]]:
    """The calls that these lines of `SystemCallFilter` allow, and those of the others that systemd knows."""
    sets = syscall_sets()

    def expanded(arguments: str) -> set[str]:
        names: set[str] = set()
        for word in arguments.split():
            names |= expanded(" ".join(sets[word])) if word.startswith("@") else {word}
        return names

    allowed = set(IMPLIED)
    for line in lines:
        allowed = allowed - expanded(line[1:]) if line.startswith("~") else allowed | expanded(line)
    return allowed, expanded("@known") - allowed


# --- In the namespace ------------------------------------------------------------------------------------------------


def become(plan: dict[str, Any]) -> None:
    """Lock this process in, and become the program. `plan` is what `tests/deploy/test_units_run.py` writes."""
    _mount_everything(plan)
    libc, seccomp = ctypes.CDLL(None, use_errno=True), ctypes.CDLL(ctypes.util.find_library("seccomp"))
    resource.setrlimit(resource.RLIMIT_NOFILE, (plan["files"], plan["files"]))
    os.chdir(plan["folder"])
    os.umask(plan["umask"])
    for capability in range(64):
        libc.prctl(24, capability, 0, 0, 0)  # PR_CAPBSET_DROP
    os.setgroups([])
    os.setgid(USER)
    os.setuid(USER)
    _filter_calls(seccomp, plan)
    os.execve(plan["command"][0], plan["command"], plan["environment"])


def _mount_everything(plan: dict[str, Any]) -> None:
    for place in ("/opt", "/var/lib"):
        _mount("-t", "tmpfs", "-o", "mode=0755", "tmpfs", place)
    for source, place in plan["binds"]:
        if not Path(place).is_dir():
            Path(place).mkdir(parents=True)
        _mount("--bind", source, place)
    Path("/opt/python").mkdir()
    _mount("--bind", plan["python"], "/opt/python")
    for place in (place for place in ("/home", "/root", "/run/user") if Path(place).is_dir()):
        _mount("-t", "tmpfs", "-o", "mode=0711", "tmpfs", place)
    if not Path(plan["python"]).is_dir():  # the Python of these tests lies in somebody's home
        Path(plan["python"]).mkdir(parents=True)
        _mount("--bind", "/opt/python", plan["python"])
    points = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    for point in points:
        if not point.startswith(("/proc", "/dev", plan["writable"])):
            subprocess.run(["mount", "-o", "remount,bind,ro", point], capture_output=True, check=False)
    _mount("-t", "tmpfs", "-o", "mode=1777", "tmpfs", "/tmp")
    _make_devices()
    _mount("-t", "proc", "-o", "subset=pid,hidepid=invisible", "proc", "/proc")


def _make_devices() -> None:
    new = Path("/tmp/dev")
    new.mkdir()
    _mount("-t", "tmpfs", "-o", "mode=0755", "tmpfs", str(new))
    for name in ("null", "zero", "full", "random", "urandom", "tty"):
        (new / name).touch()
        _mount("--bind", f"/dev/{name}", str(new / name))
    (new / "shm").mkdir()
    (new / "shm").chmod(0o1777)
    (new / "fd").symlink_to("/proc/self/fd")
    _mount("--move", str(new), "/dev")
    _mount("-o", "remount,bind,ro", "/dev")
    _mount("-t", "tmpfs", "-o", "mode=1777", "tmpfs", "/dev/shm")
    new.rmdir()


def _mount(*arguments: str) -> None:
    done = subprocess.run(["mount", "--no-mtab", *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"mount {' '.join(arguments)}: {done.stderr}")


class _Comparison(ctypes.Structure):
    _fields_ = (
        ("argument", ctypes.c_uint),
        ("operation", ctypes.c_int),
        ("first", ctypes.c_uint64),
        ("second", ctypes.c_uint64),
    )


def _filter_calls(seccomp: ctypes.CDLL, plan: dict[str, Any]) -> None:
    seccomp.seccomp_init.restype = ctypes.c_void_p
    last = _new_filter(seccomp, _ERRNO | errno.ENOSYS)  # what systemd does not know yet
    _add(seccomp, last, _ALLOW, plan["allowed"])
    _add(seccomp, last, _ERRNO | getattr(errno, plan["error"]), plan["refused"])
    rest = _new_filter(seccomp, _ALLOW)
    denied = _ERRNO | errno.EPERM
    if plan["no_code_in_memory"]:
        # By the third argument: memory that is both written and executed, or that becomes executed.
        code = (("mmap", _PROT_WRITE | _PROT_EXEC), ("mprotect", _PROT_EXEC), ("pkey_mprotect", _PROT_EXEC))
        for name, bits in (*code, ("shmat", _SHM_EXEC)):
            _add(seccomp, rest, denied, [name], _Comparison(2, _MASKED_EQUAL, bits, bits))
    for family in set(range(_AF_MAX)) - set(_FAMILIES.values()):
        _add(seccomp, rest, _ERRNO | errno.EAFNOSUPPORT, ["socket"], _Comparison(0, _EQUAL, family, 0))
    for context in (rest, last):
        if seccomp.seccomp_load(ctypes.c_void_p(context)):
            sys.exit("The filter of system calls cannot be loaded.")


def _new_filter(seccomp: ctypes.CDLL, otherwise: int) -> int:
    context: int = seccomp.seccomp_init(ctypes.c_uint32(otherwise))
    return context


def _add(seccomp: ctypes.CDLL, context: int, action: int, names: list[str], *comparisons: _Comparison) -> None:
    compared = (_Comparison * max(1, len(comparisons)))(*comparisons)
    for name in names:
        number = seccomp.seccomp_syscall_resolve_name(name.encode())
        if number >= 0:
            seccomp.seccomp_rule_add_array(
                ctypes.c_void_p(context), ctypes.c_uint32(action), number, len(comparisons), compared
            )


if __name__ == "__main__":
    become(json.loads(Path(sys.argv[1]).read_text()))
