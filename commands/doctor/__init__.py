"""`flask doctor`: what is wrong with this deployment, all of it, each with the mend."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict
from typing import NamedTuple

import click
from flask.cli import with_appcontext

from recordings.errors import TapekeeperError
from settings import SettingsError

from . import doctor_parts, doctor_settings
from .findings import ERROR, OK, WARNING, Finding, error, warning
from .services import Services, services

_COLOURS = {OK: "green", WARNING: "yellow", ERROR: "red"}


class _Check(NamedTuple):
    """`needs` are the variables without whose right values the check would look at the wrong thing."""

    part: str
    run: Callable[[Services], Iterator[Finding]]
    needs: tuple[str, ...] = ()
    mend: str = "Mend it and run flask doctor again."


_CHECKS = (
    _Check("versions", doctor_settings.versions),
    _Check("settings", doctor_settings.values),
    _Check("key", doctor_settings.key),
    _Check("hosts", doctor_settings.hosts, ("RECORDING_HOSTS",)),
    _Check("flows", doctor_settings.flows, ("CALL_FLOW", "FORWARD_TO", "VONAGE_NUMBER", "MODERATORS")),
    _Check("plugins", doctor_parts.plugins, ("PLUGINS_DIR",)),
    _Check("template", doctor_settings.template),
    _Check("database", doctor_parts.database, ("DATABASE_URL",), "Check DATABASE_URL, and that the database is up."),
    _Check("queue", doctor_parts.queue, ("DATABASE_URL", "QUEUE_URL"), "Check QUEUE_URL, and that its server is up."),
    _Check("public url", doctor_parts.public_url, ("PUBLIC_URL",)),
    _Check("storage", doctor_parts.storages, ("STORAGE_URL",)),
)


@click.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line: level, part, message, mend.")
@with_appcontext
def doctor(as_json: bool) -> None:
    """Look at everything that can be wrong with this deployment, and say how to mend it.

    Nothing stops it: after a wrong setting it goes on with the rest. It brings the database's schema up to date, as the
    app does, and stores and deletes one small object in each storage. Exit code 1 when there is an error, 0 when there
    are warnings at most.
    """
    seen: Counter[str] = Counter()
    with services(tolerant=True) as parts:
        for finding in _findings(parts):
            seen[finding.level] += 1
            _show(finding, as_json)
    words = [f"{seen[level]} {level}{'' if seen[level] == 1 else 's'}" for level in (ERROR, WARNING)]
    click.echo(f"{' and '.join(words)}.", err=as_json)
    sys.exit(1 if seen[ERROR] else 0)


def _findings(parts: Services) -> Iterator[Finding]:
    wrong = {problem.name for problem in parts.problems}
    for check in _CHECKS:
        missing = sorted(wrong & set(check.needs))
        if missing:
            yield warning(check.part, f"Not looked at: {', '.join(missing)} is wrong.", f"Correct {missing[0]} first.")
        else:
            yield from _guarded(check, parts)


def _guarded(check: _Check, parts: Services) -> Iterator[Finding]:
    """What the check finds; what it cannot get over is a finding too."""
    try:
        yield from check.run(parts)
    except SettingsError as problem:
        yield doctor_settings.settings_error(check.part, problem)
    except TapekeeperError as problem:
        yield error(check.part, str(problem), check.mend)
    except Exception as problem:  # a driver's own, such as a queue's that is away
        yield error(check.part, f"{type(problem).__name__}: {problem}", check.mend)


def _show(finding: Finding, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(asdict(finding)))
        return
    level = click.style(f"{finding.level:8}", fg=_COLOURS[finding.level])
    click.echo(f"{level}{finding.part:11}{' '.join(finding.message.split())}")
    if finding.mend:
        click.echo(f"{'':19}→ {finding.mend}")
