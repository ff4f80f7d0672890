"""`flask tokens …`: one file named as each command. The programs that may use the API."""

from __future__ import annotations

from commands.lazy import LazyGroup

command = LazyGroup(
    __name__,
    ("list", "add", "revoke"),
    name="tokens",
    help="The programs that may use the API: list their tokens, add one, revoke one.",
)
