"""The door for a shell: `flask migrate`, `flask recordings list` and all the others, one file named as each command.

A command translates: it asks the heart, prints the answer, and chooses the exit code. What happens to a recording is
decided in `recordings/`. A command's file is imported only when the command is asked for.
"""

from __future__ import annotations

import io
import sys

import click

from .lazy import LazyGroup

# The order within a purpose is the order in which most people need the commands.
PURPOSES = {
    "Run it": ("migrate", "worker", "backup", "restore", "recordings import"),
    "Look": (
        *("recordings list", "recordings show", "recordings play", "recordings export", "recordings missing"),
        *("deliveries list", "deliveries show", "notify list", "plugins"),
    ),
    "Mend": (
        *("doctor", "recordings retry", "recordings adopt", "recordings verify", "recordings copy"),
        *("deliveries replay", "notify replay"),
    ),
    "People": (
        *("accounts list", "accounts add", "accounts role", "accounts password", "accounts remove"),
        *("tokens list", "tokens add", "tokens revoke"),
    ),
    "Try": ("simulate call", "notify test", "contract", "recordings sweep-source"),
}
ABOUT = (
    "Tapekeeper keeps every Vonage call recording: it answers Vonage's call webhooks, takes the recording events in, "
    "and archives the audio, verified. Its own commands, by what you want to do:"
)


class Commands(LazyGroup):
    """All our commands. Flask's own `flask` command lists them by purpose, below its own commands."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names; none for the flat list in the help of `flask`, which gets our list by purpose as its epilog."""
        if ctx.command is self or ctx.resilient_parsing:  # the latter: a shell completes a name
            return super().list_commands(ctx)
        ctx.command.epilog = f"{ABOUT}\n\n{self.by_purpose(ctx)}"
        return []

    def by_purpose(self, ctx: click.Context) -> str:
        """Our commands with one line each, under a heading for each purpose."""
        width = max(len(path) for paths in PURPOSES.values() for path in paths)
        sections = []
        for purpose, paths in PURPOSES.items():
            lines = [f"  {path:{width}}  {self._summary(ctx, path, 74 - width)}" for path in paths]
            sections.append("\n".join(["\b", f"{purpose}:", *lines]))  # \b: click leaves these lines as they are
        return "\n\n".join(sections)

    def _summary(self, ctx: click.Context, path: str, limit: int) -> str:
        command: click.Command | None = self
        for name in path.split():
            command = command.get_command(ctx, name) if isinstance(command, click.Group) else None
        return command.get_short_help_str(limit) if command else ""


def escape_what_cannot_be_shown() -> None:
    """Let stdout and stderr escape a character that their encoding lacks, in place of a traceback: for all commands."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


cli = Commands(
    __name__,
    (
        "accounts",
        "backup",
        "contract",
        "deliveries",
        "doctor",
        "migrate",
        "notify",
        "plugins",
        "recordings",
        "restore",
        "simulate",
        "tokens",
        "worker",
    ),
    help=ABOUT.partition(" Its own")[0],
)
