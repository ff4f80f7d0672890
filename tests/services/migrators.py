"""Processes that bring one database up to date at the same moment, as those of a new release do."""

from __future__ import annotations

import subprocess
import sys

_PROGRAM = """
import sys
from recordings.catalogue.database import Database
import alembic.command  # now, so that all of them migrate at the same moment
database = Database(sys.argv[1])
print("ready", flush=True)
sys.stdin.readline()
print(database.migrate())
"""


def migrate_at_once(url: str, processes: int = 3) -> list[str]:
    """What `Database.migrate` returned in each of these processes, as text, sorted."""
    command, pipe = [sys.executable, "-c", _PROGRAM, url], subprocess.PIPE
    children = [subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) for _ in range(processes)]
    try:
        for child in children:
            assert child.stdout is not None
            assert child.stdout.readline() == "ready\n"
        for child in children:
            assert child.stdin is not None
            child.stdin.write("go\n")
            child.stdin.flush()
        return sorted(child.communicate(timeout=60)[0].strip() for child in children)
    finally:
        for child in children:
            child.kill()
