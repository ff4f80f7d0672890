"""`flask doctor`: everything that is wrong with this deployment, each with the mend.

Here are the command, the list of the checks, and what is printed. The checks are in `settings` (by the settings alone)
and in `parts` (by using the database, the storages, the network).
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict
from typing import Any, NamedTuple

import click

from commands.parts import opened, visible
from recordings.errors import TapekeeperError
from recordings.messages import message_of
from settings import SettingsError

from .findings import ERROR, OK, WARNING, DoctorFinding, error, settings_error, warning

_COLOURS = {OK: "green", WARNING: "yellow", ERROR: "red"}


class _Check(NamedTuple):
    """`needs` are variables. While one of them is wrong, the check is left out: it would look at the wrong thing.

    `at_once`: it looks at settings alone, and waits for nothing.
    """

    part: str
    run: Callable[[Any], Iterator[DoctorFinding]]
    needs: tuple[str, ...] = ()
    mend: str = "Mend it and run flask doctor again."
    at_once: bool = False


def _checks() -> tuple[_Check, ...]:
    from . import parts, settings

    database = "Check DATABASE_URL, and that the database is up."
    return (
        _Check("versions", settings.versions, at_once=True),
        _Check("settings", settings.values, at_once=True),
        _Check("key", settings.key, at_once=True),
        _Check("hosts", settings.hosts, ("RECORDING_HOSTS",), at_once=True),
        _Check("flows", settings.flows, ("CALL_FLOW", "FORWARD_TO", "VONAGE_NUMBER", "MODERATORS"), at_once=True),
        _Check("plugins", parts.plugins, ("PLUGINS_DIR",)),
        _Check("template", settings.template),
        _Check("database", parts.database, ("DATABASE_URL",), database),
        _Check("work", parts.work, ("DATABASE_URL",), database),
        _Check("public url", parts.public_url, ("PUBLIC_URL",)),
        _Check("storage", parts.storages, ("STORAGE_URL",)),
        _Check("told", parts.recipients, ("NOTIFY_URLS", "EVENT_WEBHOOK_URL", "EVENT_WEBHOOK_SECRET")),
    )


@click.command("doctor", short_help="Everything that is wrong, and how to mend it.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line: level, part, message, mend.")
def command(as_json: bool) -> None:
    """Look at everything that can be wrong with this deployment, and say how to mend it.

    Nothing stops it: after a wrong setting it goes on with the rest. It brings the database's schema up to date, as the
    app does, and stores and deletes one small object in each storage. Exit code 1 when there is an error, 0 when there
    are warnings at most.
    """
    counts: Counter[str] = Counter()
    with opened(tolerant=True) as parts:
        for finding in findings(parts):
            counts[finding.level] += 1
            _show(finding, as_json)
    totals = [f"{counts[level]} {level}{'' if counts[level] == 1 else 's'}" for level in (ERROR, WARNING)]
    click.echo(f"{' and '.join(totals)}.", err=as_json)
    sys.exit(1 if counts[ERROR] else 0)


def findings(parts: Any, *, at_once: bool = False) -> Iterator[DoctorFinding]:
    """All that is found. With `at_once`: only what the settings alone tell."""
    wrong = {problem.name for problem in parts.problems}
    for check in _checks():
        if at_once and not check.at_once:
            continue
        missing = sorted(wrong & set(check.needs))
        if missing:
            yield warning(check.part, f"Not looked at: {', '.join(missing)} is wrong.", f"Correct {missing[0]} first.")
        else:
            yield from _guarded(check, parts)


def _guarded(check: _Check, parts: Any) -> Iterator[DoctorFinding]:
    """The findings of the check. An error that it raises is a finding too."""
    try:
        yield from check.run(parts)
    except SettingsError as problem:
        yield settings_error(check.part, problem)
    except TapekeeperError as problem:
        yield error(check.part, str(problem), check.mend)
    except (Exception, SystemExit) as problem:  # a driver's or a plugin's own
        yield error(check.part, f"{type(problem).__name__}: {message_of(problem)}", check.mend)


def _show(finding: DoctorFinding, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(asdict(finding)))
        return
    level = click.style(f"{finding.level:8}", fg=_COLOURS[finding.level])
    click.echo(f"{level}{finding.part:11}{visible(' '.join(finding.message.split()))}")
    if finding.mend:
        click.echo(f"{'':19}→ {visible(finding.mend)}")
