"""Commands about the program itself: `flask migrate`, `flask worker`, `flask plugins`."""

from __future__ import annotations

import json
import signal
import sys
import threading
from dataclasses import asdict

import click
from flask.cli import with_appcontext
from tabulate import tabulate

from .services import services


@click.command()
@with_appcontext
def migrate() -> None:
    """Bring the database's schema up to date.

    Safe to run at any time and from several places at once; the app does it at its first use, too.
    """
    with services() as parts:
        before, after = parts.database.migrate()
    if before == after:
        click.echo(f"The database is up to date, at revision {after}.")
    else:
        click.echo(f"The database went from {before or 'nothing'} to revision {after}.")


@click.command()
@with_appcontext
def worker() -> None:
    """Archive recordings, in a process of its own, until SIGTERM or Ctrl-C.

    Copies in work get 20 seconds to finish; the rest go back, for another worker to take at once.
    """
    asked = threading.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        signal.signal(name, lambda *_: asked.set())
    with services() as parts:
        parts.engine.start()
        storages = ", ".join(parts.storages)
        click.echo(f"Archiving into {storages} with {parts.settings.worker_threads} threads.", err=True)
        while not asked.wait(3600):
            pass
        click.echo("Stopping: running copies get 20 s to finish.", err=True)
        parts.engine.stop()


@click.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@with_appcontext
def plugins(as_json: bool) -> None:
    """List the plugins: where each comes from, what it provides, and what is wrong with it.

    Exit code 1 when a plugin is broken.
    """
    with services() as parts:
        report = [asdict(plugin) for plugin in parts.plugins.report()]
    if as_json:
        for plugin in report:
            click.echo(json.dumps(plugin))
    else:
        _show(report)
    sys.exit(1 if any(plugin["state"] == "broken" for plugin in report) else 0)


def _show(report: list[dict[str, object]]) -> None:
    columns = ("name", "version", "origin", "hooks", "schemes", "state")
    rows = [[_cell(plugin[column]) for column in columns] for plugin in report]
    for row, plugin in zip(rows, report, strict=True):
        row[2] = f"{plugin['origin']} {plugin['file_or_distribution']}".strip()
    click.echo(tabulate(rows, headers=columns, disable_numparse=True))
    for plugin in report:
        if plugin["problem"]:
            click.echo(f"\n{plugin['name']} ({plugin['file_or_distribution']}): {plugin['problem']}", err=True)


def _cell(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value or "-")
