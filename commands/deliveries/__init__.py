"""`flask deliveries …`: one file named as each command. What Vonage sent, as it came, including what was refused."""

from __future__ import annotations

from commands.lazy import LazyGroup

command = LazyGroup(
    __name__,
    ("list", "show", "replay"),
    name="deliveries",
    help="Raw webhook deliveries: list them, look at one, take one in once more.",
)
