"""A group of commands that imports a command's file only when that command is asked for.

So `flask recordings list` does not wait for what `flask contract` needs.
https://click.palletsprojects.com/en/stable/complex/#lazily-loading-subcommands
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import Any

import click


class LazyGroup(click.Group):
    """The commands `names`. Each is called `command` in its own module of `package`, which is named as the command."""

    def __init__(self, package: str, names: Sequence[str], **attributes: Any) -> None:
        super().__init__(**attributes)
        self._package = package
        self._names = tuple(names)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names in the given order."""
        return list(self._names)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return the command of this name; None when there is none."""
        if cmd_name not in self._names:
            return None
        command: click.Command = import_module(f"{self._package}.{cmd_name.replace('-', '_')}").command
        return command
