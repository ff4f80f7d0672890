"""`flask notify …`: one file named as each command. What people and programs are told, and whether it arrives."""

from __future__ import annotations

from commands.lazy import LazyGroup

command = LazyGroup(
    __name__,
    ("test", "list", "replay"),
    name="notify",
    help="What people and programs are told: try it, list it, send it once more.",
)
