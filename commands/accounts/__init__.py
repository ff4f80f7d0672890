"""`flask accounts …`: one file named as each command. The people who may sign in to the console."""

from __future__ import annotations

from commands.lazy import LazyGroup

command = LazyGroup(
    __name__,
    ("list", "add", "role", "password", "remove"),
    name="accounts",
    help="The people who may sign in to the console: list them, add one, change one, remove one.",
)
