"""`flask contract URL`: try every promise of a storage backend on the live store."""

from __future__ import annotations

import json
import secrets
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Protocol
from urllib.parse import unquote, urlsplit

import click

from .parts import visible, with_parts

if TYPE_CHECKING:
    from plugins.contract import CheckResult, Target
    from plugins.manager import Plugins
    from recordings.storage import StorageBackend
    from settings import Settings


class Parts(Protocol):
    """What this command uses."""

    @property
    def settings(self) -> Settings: ...
    @property
    def plugins(self) -> Plugins: ...


@click.command("contract", short_help="Try every promise of a storage on a live one.")
@click.argument("url")
@click.option(
    "--json", "as_json", is_flag=True, help="One JSON object a line: name, promise, passed, tried, level, detail."
)
@click.option(
    "--large-mb", default=64, show_default=True, help="Size of the object that memory is measured with; 0: none."
)
@with_parts
def command(parts: Parts, url: str, as_json: bool, large_mb: int) -> None:
    """Try on a live store whether it keeps every promise of a storage backend.

    URL is what STORAGE_URL would be; credentials come from the same variables. Everything happens below a prefix of its
    own, which is emptied at the end: some hundred small objects, and one of --large-mb. Exit code 1 when a promise is
    broken that a store must keep. One that it only should keep is a warning.
    """
    from plugins.contract import Target

    env = parts.settings.backend_env
    with _backend(parts, url) as backend:
        target = Target(backend, spawn_url=url, spawn_env=env, large_bytes=large_mb * 1024 * 1024)
        results = []
        prefix = f"contract-{secrets.token_hex(6)}"
        try:
            for result in _results(target, prefix, as_json):
                results.append(result)
                click.echo(json.dumps(asdict(result)) if as_json else _verdict(result))
        finally:
            _empty(backend, prefix)
            _remove_folders(url, prefix)
    _summarise(results, as_json)
    sys.exit(1 if any(result.broken for result in results) else 0)


@contextmanager
def _backend(parts: Parts, url: str) -> Iterator[StorageBackend]:
    backend = parts.plugins.backend(url, parts.settings.backend_env, contained=False)
    try:
        yield backend
    finally:
        backend.close()


def _results(target: Target, prefix: str, as_json: bool) -> Iterator[CheckResult]:
    """The result of each check as soon as it is known. A store that fails the first check is asked for no other."""
    from plugins.contract import CHECKS

    for check in CHECKS:
        if not as_json:
            click.echo(f"{check.name}: {check.promise}")
        result = target.try_out(check, prefix)
        yield result
        if check is CHECKS[0] and not result.passed:
            return


def _empty(backend: StorageBackend, prefix: str) -> None:
    """Delete every object below the prefix. Each check deletes its own; an interrupted one has not done so."""
    from plugins.sandbox import Answer

    with suppress(Exception):  # the store failed, and its check has said so
        for info in list(backend.list(f"{prefix}/")):
            backend.delete(Answer(info).key)


def _remove_folders(url: str, prefix: str) -> None:
    """Remove the empty folders below the prefix.

    A file store never removes a folder, because another put may be about to write into it. Below our prefix there is
    no other put.
    """
    parts = urlsplit(url)
    if parts.scheme == "file":
        top = Path(unquote(parts.path)) / prefix
        with suppress(OSError):
            for folder in sorted((path for path in top.rglob("*") if path.is_dir()), reverse=True):
                folder.rmdir()
            top.rmdir()


def _verdict(result: CheckResult) -> str:
    detail = visible(result.detail)
    if result.broken:
        return click.style(f"    BROKEN: {detail}", fg="red", bold=True)
    if result.warned:
        return click.style(f"    WARNING: {detail}", fg="yellow")
    return f"    {detail}" + (f", in {result.seconds:.1f} s" if result.tried else "")


def _summarise(results: list[CheckResult], as_json: bool) -> None:
    from plugins.contract import CHECKS

    broken = [result.name for result in results if result.broken]
    warned = [result.name for result in results if result.warned]
    untried = [result.name for result in results if not result.tried]
    clauses = [f"{len(results) - len(broken) - len(warned) - len(untried)} of {len(CHECKS)} promises kept"]
    clauses += [f"{len(untried)} not tried ({', '.join(untried)})"] if untried else []
    clauses += [f"{len(warned)} only warned of ({', '.join(warned)})"] if warned else []
    clauses += [f"{len(broken)} BROKEN ({', '.join(broken)})"] if broken else []
    if len(results) < len(CHECKS):
        clauses.append("the store cannot be used as it is, so nothing else was tried")
    click.echo(f"{'; '.join(clauses)}.", err=as_json)
