"""`flask recordings import`: make the catalogue anew out of the sidecars in a storage."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol

import click

from commands.parts import visible, with_parts
from recordings.errors import TapekeeperError
from recordings.messages import message_of

from .storage_argument import configured

if TYPE_CHECKING:
    from recordings.care.rebuild import Imported, Rebuild
    from recordings.catalogue.database import Database
    from recordings.storage import StorageBackend
    from settings import Settings

INTERRUPTED = 130  # the exit code that a shell gives a program that Ctrl-C ended

# What the summary says of each outcome.
_SENTENCES = {
    "new": "brought into the catalogue",
    "completed": "known, and their copy is stored now",
    "stored": "known as stored already",
    "elsewhere": "LEFT OUT: the recording lies under another key",
    "busy": "left to the worker that is at them",
    "skipped": "LEFT OUT: the reasons are above",
}


class Parts(Protocol):
    """What this command uses."""

    @property
    def settings(self) -> Settings: ...
    @property
    def database(self) -> Database: ...
    @property
    def storages(self) -> Mapping[str, StorageBackend]: ...


@click.command("import", short_help="Make the catalogue anew out of a storage's sidecars.")
@click.argument("storage_url")
@click.option("--deep", is_flag=True, help="Read every audio file back and compare its SHA-256.")
@with_parts
def command(parts: Parts, storage_url: str, deep: bool) -> None:
    """Bring the recordings of a storage into the catalogue, by the sidecars (.json) that lie beside them.

    For a catalogue that was lost, and after `flask restore`, for what was stored after the backup. The storage is only
    read. What the catalogue knows stands, so the command may be interrupted and repeated at any time. A sidecar that is
    damaged, or whose audio is gone or has another size, is named and left out.

    Exit code 0: every sidecar is in the catalogue. 1: some were left out. 2: the command is used wrongly.
    """
    from recordings.care.rebuild import Rebuild

    storage = configured(parts.settings.storage_url, storage_url)
    outcomes: Counter[str] = Counter()
    try:
        _run(Rebuild(parts.database, storage, parts.storages[storage], deep=deep), outcomes)
    except KeyboardInterrupt:
        _summarise(outcomes)
        click.echo("Interrupted: repeat the command to go on.", err=True)
        sys.exit(INTERRUPTED)
    except TapekeeperError:
        raise
    except (Exception, SystemExit) as error:  # whatever a stranger's backend raises
        _summarise(outcomes)
        raise click.ClickException(
            f"{storage} cannot be listed to its end: {visible(message_of(error))}. Repeat the command to go on."
        ) from error
    _summarise(outcomes)
    sys.exit(1 if outcomes["skipped"] or outcomes["elsewhere"] or outcomes["busy"] else 0)


def _run(rebuild: Rebuild, outcomes: Counter[str]) -> None:
    """Import everything, with a bar when stderr is a terminal; how many sidecars there are, nobody knows before."""
    with click.progressbar(rebuild.run(), label="Reading sidecars", file=sys.stderr, show_pos=True) as results:
        for result in results:
            outcomes[result.outcome] += 1
            if result.problem:
                _print(result)


def _print(result: Imported) -> None:
    if sys.stderr.isatty():
        click.echo("\r\033[K", nl=False, err=True)  # clears the bar, which is drawn again with the next sidecar
    click.echo(visible(f"{result.outcome:10}{result.key}: {result.problem}"))


def _summarise(outcomes: Counter[str]) -> None:
    for outcome, sentence in _SENTENCES.items():
        if outcomes[outcome]:
            click.echo(f"{outcomes[outcome]} {sentence}.", err=True)
    if not outcomes:
        click.echo("There is no sidecar in this storage: nothing was brought in.", err=True)
