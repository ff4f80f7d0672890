"""The folder backend finds out by itself what the file system cannot do.

File systems without O_TMPFILE or hard links (SMB, FAT) cannot be mounted everywhere; here the kernel itself refuses
the two calls to a child process, with the errors of those file systems, by a seccomp filter.
"""

from __future__ import annotations

import errno
import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

REFUSE = """
import ctypes, struct, sys
LINKAT, OPENAT, TMPFILE = 265, 257, 0o20000000
ALLOW, ERRNO = 0x7FFF0000, 0x00050000
refuse_link, refuse_tmpfile = int(sys.argv[2]), int(sys.argv[3])
program = [(0x20, 0, 0, 0)]                                       # the number of the system call
if refuse_link:
    program += [(0x15, 0, 1, LINKAT), (0x06, 0, 0, ERRNO | refuse_link)]
if refuse_tmpfile:
    program += [(0x15, 0, 3, OPENAT), (0x20, 0, 0, 32),           # its third argument: the flags
                (0x45, 0, 1, TMPFILE), (0x06, 0, 0, ERRNO | refuse_tmpfile)]
program += [(0x06, 0, 0, ALLOW)]
code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in program))
class Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("code", ctypes.c_void_p)]
libc = ctypes.CDLL(None, use_errno=True)
filled = Program(len(program), ctypes.addressof(code))

from pathlib import Path
from backends.local.drafts import Drafts
from backends.local.storage import LocalStorage
from plugins.fakes import FakeSource
if libc.prctl(38, 1, 0, 0, 0) or libc.prctl(22, 2, ctypes.byref(filled)):
    sys.exit("no seccomp")
drafts = Drafts()
store = LocalStorage(Path(sys.argv[1]), drafts=drafts)
store.check()
created = [store.put("a/b", FakeSource(10), content_type="x", metadata={}).created for _ in range(2)]
print(drafts.way.name, *created)
"""


@pytest.mark.skipif(
    platform.machine() != "x86_64" or sys.platform != "linux", reason="the filter is for Linux on x86_64"
)
@pytest.mark.parametrize(
    ("refuse_link", "refuse_tmpfile", "way"),
    [
        (0, 0, "NAMELESS"),
        (0, errno.EOPNOTSUPP, "LINK"),
        (0, errno.EISDIR, "LINK"),
        (errno.EPERM, 0, "RENAME"),
        (errno.EOPNOTSUPP, errno.EOPNOTSUPP, "RENAME"),
    ],
)
def test_what_the_file_system_cannot_do_is_done_otherwise(
    tmp_path: Path, refuse_link: int, refuse_tmpfile: int, way: str
) -> None:
    command = [sys.executable, "-c", REFUSE, str(tmp_path), str(refuse_link), str(refuse_tmpfile)]
    project = Path(__file__).parents[2]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, cwd=project)
    if done.stderr == "no seccomp\n":
        pytest.skip("this kernel or container has no seccomp filters")
    assert done.stdout.split() == [way, "True", "False"], done.stderr
    left = [str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if not path.is_dir()]
    assert left == [os.path.join("a", "b")]
