"""`flask recordings …`: one file named as each command."""

from __future__ import annotations

from commands.lazy import LazyGroup

command = LazyGroup(
    __name__,
    ("list", "show", "play", "export", "missing", "retry", "adopt", "verify", "copy", "import", "sweep-source"),
    name="recordings",
    help="List recordings, hear or export them, find what is missing or damaged, and mend it.",
)
