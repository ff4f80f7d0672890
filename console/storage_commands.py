"""`flask contract URL`: whether a storage keeps what every backend promises, tried on the live store."""

from __future__ import annotations

import json
import secrets
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from urllib.parse import unquote, urlsplit

import click
from flask.cli import with_appcontext

from plugins.contract import CHECKS, CheckResult, Target
from plugins.sandbox import Answer
from recordings.storage import StorageBackend

from .services import Services, services


@click.command()
@click.argument("url")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line: name, promise, passed, tried, detail.")
@click.option("--large-mb", default=64, show_default=True, help="The object that memory is measured with; 0: none.")
@with_appcontext
def contract(url: str, as_json: bool, large_mb: int) -> None:
    """Try on a live store whether it keeps every promise of a storage backend.

    URL is what STORAGE_URL would be; credentials come from the same variables. Everything happens below a prefix of its
    own, which is emptied at the end: some hundred small objects, and one of --large-mb. Exit code 1 when a promise is
    broken.
    """
    with services() as parts, _opened(parts, url) as backend:
        target = Target(
            backend, spawn_url=url, spawn_env=parts.settings.backend_env, large_bytes=large_mb * 1024 * 1024
        )
        results = []
        prefix = f"contract-{secrets.token_hex(6)}"
        try:
            for result in _tried(target, prefix, as_json):
                results.append(result)
                click.echo(json.dumps(asdict(result)) if as_json else _verdict(result))
        finally:
            _emptied(backend, prefix)
            _without_folders(url, prefix)
    _summarise(results, as_json)
    sys.exit(0 if all(result.passed for result in results) else 1)


@contextmanager
def _opened(parts: Services, url: str) -> Iterator[StorageBackend]:
    backend = parts.plugins.backend(url, parts.settings.backend_env)
    try:
        yield backend
    finally:
        backend.close()


def _tried(target: Target, prefix: str, as_json: bool) -> Iterator[CheckResult]:
    """Each promise's verdict as it falls. A store that cannot be used at all is not asked for the rest."""
    for check in CHECKS:
        if not as_json:
            click.echo(f"{check.name}: {check.promise}")
        result = target.try_out(check, prefix)
        yield result
        if check is CHECKS[0] and not result.passed:
            return


def _emptied(backend: StorageBackend, prefix: str) -> None:
    """Each promise clears up after itself; this is for one that was interrupted."""
    with suppress(Exception):  # the store failed and said so above
        for info in list(backend.list(f"{prefix}/")):
            backend.delete(Answer(info).key)


def _without_folders(url: str, prefix: str) -> None:
    """A file store keeps its folders, because another put may be on its way into one; nobody else is below ours."""
    parts = urlsplit(url)
    if parts.scheme == "file":
        top = Path(unquote(parts.path)) / prefix
        with suppress(OSError):
            for folder in sorted((path for path in top.rglob("*") if path.is_dir()), reverse=True):
                folder.rmdir()
            top.rmdir()


def _verdict(result: CheckResult) -> str:
    if not result.passed:
        return click.style(f"    BROKEN: {result.detail}", fg="red", bold=True)
    return f"    {result.detail}" + (f", in {result.seconds:.1f} s" if result.tried else "")


def _summarise(results: list[CheckResult], as_json: bool) -> None:
    broken = [result.name for result in results if not result.passed]
    untried = [result.name for result in results if not result.tried]
    words = [f"{len(results) - len(broken) - len(untried)} of {len(CHECKS)} promises kept"]
    words += [f"{len(untried)} not tried ({', '.join(untried)})"] if untried else []
    words += [f"{len(broken)} BROKEN ({', '.join(broken)})"] if broken else []
    if len(results) < len(CHECKS):
        words.append("the store cannot be used as it is, so nothing else was tried")
    click.echo(f"{'; '.join(words)}.", err=as_json)
