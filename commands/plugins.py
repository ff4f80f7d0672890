"""`flask plugins`: what is plugged in, and what is wrong with it."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Protocol

import click

from .parts import show, with_parts

if TYPE_CHECKING:
    from plugins.manager import Plugins

_COLUMNS = ("name", "version", "origin", "hooks", "schemes", "state")


class Parts(Protocol):
    """What this command uses."""

    @property
    def plugins(self) -> Plugins: ...


@click.command("plugins", short_help="The plugins, and what is wrong with them.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@with_parts
def command(parts: Parts, as_json: bool) -> None:
    """List the plugins: where each comes from, what it provides, and what is wrong with it.

    Exit code 1 when a plugin is broken.
    """
    report = [asdict(plugin) for plugin in parts.plugins.report()]
    if as_json:
        for plugin in report:
            click.echo(json.dumps(plugin))
    else:
        _show(report)
    sys.exit(1 if any(plugin["state"] == "broken" for plugin in report) else 0)


def _show(report: list[dict[str, Any]]) -> None:
    from tabulate import tabulate

    rows = [[_cell(plugin[column]) for column in _COLUMNS] for plugin in report]
    for row, plugin in zip(rows, report, strict=True):
        row[2] = f"{plugin['origin']} {plugin['file_or_distribution']}".strip()
    show(tabulate(rows, headers=_COLUMNS, disable_numparse=True))
    for plugin in report:
        if plugin["problem"]:
            show(f"\n{plugin['name']} ({plugin['file_or_distribution']}): {plugin['problem']}", err=True)


def _cell(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value or "-")
