"""`flask recordings …`: one file named as each command."""

from __future__ import annotations

from commands.lazy import LazyGroup

command = LazyGroup(
    __name__,
    ("list", "show", "missing", "retry", "adopt", "verify", "copy", "sweep-source"),
    name="recordings",
    help="List recordings, look at one, find what is missing or damaged, and mend it.",
)
