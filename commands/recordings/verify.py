"""`flask recordings verify`: is every copy still where the catalogue says, and does the storage hold anything else?"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING, Protocol

import click

from commands.parts import visible, with_parts
from recordings.errors import TapekeeperError

if TYPE_CHECKING:
    from recordings.care.repair import Repair
    from recordings.care.verify import Finding, Verification
    from recordings.catalogue.copies import StoredCopy
    from recordings.catalogue.database import Database
    from recordings.storage import StorageBackend

INTERRUPTED = 130  # the exit code that a shell gives a program that Ctrl-C ended


class Parts(Protocol):
    """What this command uses."""

    @property
    def database(self) -> Database: ...
    @property
    def storages(self) -> Mapping[str, StorageBackend]: ...
    @property
    def repair(self) -> Repair: ...


@click.command("verify", short_help="Compare the catalogue with the storages.")
@click.option("--deep", is_flag=True, help="Read every object back and hash it.")
@click.option("--repair", is_flag=True, help="Put a good object in the place of each one that is missing or damaged.")
@click.option("--after", metavar="RECORDING_UUID", help="Go on after this recording, where a check was stopped.")
@click.option("--objects/--no-objects", default=True, help="Also list the storages, for objects that no copy knows.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line, for each fault.")
@with_parts
def command(parts: Parts, deep: bool, repair: bool, after: str | None, objects: bool, as_json: bool) -> None:
    """Compare the catalogue with the storages: each stored copy is present, of the right size and checksum.

    Then each storage is listed: an `orphan` is an object that the catalogue knows nothing of, a `stray` belongs to a
    recording whose copy lies elsewhere. Neither is ever touched. A sidecar (.json) belongs to its audio.

    --repair changes only what has a good source: a copy in another storage that reads back right, or Vonage, as long as
    it keeps the recording (then a worker fetches it). A damaged object is first moved to damaged/ in the same storage,
    and only then deleted under its key.

    Exit code 0: all is good. 1: something was found, repaired or not. 2: the command is used wrongly.
    """
    from recordings.care.verify import Verification

    verification = Verification(parts.database, parts.storages, deep=deep)
    report = _Report(parts, repair=repair, as_json=as_json)
    report.check_copies(verification, _start(verification, after))
    if objects:
        report.check_objects(verification)
    copies = "1 copy was" if report.checked == 1 else f"{report.checked} copies were"
    faults = {0: "no fault was", 1: "1 fault was"}.get(report.findings, f"{report.findings} faults were")
    click.echo(f"{copies} checked; {faults} found.", err=True)
    sys.exit(1 if report.findings else 0)


def _start(verification: Verification, after: str | None) -> int:
    from recordings.care.verify import NoSuchRecording

    try:
        return verification.row_of(after) if after else 0
    except NoSuchRecording as error:
        raise click.UsageError(str(error)) from error


class _Report:
    """Prints each finding as it comes, repairs it when `repair` is true, and says where an interrupted check can go on.

    `checked` counts copies; `findings` counts faults, and what a repair moved aside is none.
    """

    def __init__(self, parts: Parts, *, repair: bool, as_json: bool) -> None:
        self._parts = parts
        self._repair = repair
        self._as_json = as_json
        self._bar = sys.stderr.isatty()
        self.checked = 0
        self.findings = 0

    def check_copies(self, verification: Verification, start: int) -> None:
        """Check every copy after `start`. Ctrl-C ends the program, after a line that says how to go on."""
        done: StoredCopy | None = None  # the last recording whose copies are all checked, by its last copy
        last: StoredCopy | None = None
        try:
            with self._progress(verification.count(start)) as advance:
                for copy, finding in verification.copies(start):
                    done = last if last is not None and last.recording_id != copy.recording_id else done
                    if finding is not None:
                        self._print(finding, copy)
                    last = copy
                    self.checked += 1
                    advance()
        except (KeyboardInterrupt, TapekeeperError) as error:
            self._print_how_to_go_on(done)
            if isinstance(error, KeyboardInterrupt):
                sys.exit(INTERRUPTED)
            raise

    def check_objects(self, verification: Verification) -> None:
        """Check every object in every storage."""
        for finding in verification.strays():
            self._print(finding)

    def _print(self, finding: Finding, copy: StoredCopy | None = None) -> None:
        """Print one finding, after repairing its copy where `repair` is true."""
        self.findings += finding.kind != "aside"
        repaired, repair = self._mend(copy) if copy is not None and self._repair else (None, None)
        if self._bar:
            click.echo("\r\033[K", nl=False, err=True)  # clears the bar, which is drawn again with the next copy
        if self._as_json:
            click.echo(json.dumps(asdict(finding) | {"repaired": repaired, "repair": repair}))
        else:
            where = f"{finding.recording_uuid or '-'}  {finding.storage} {finding.key}".rstrip()
            line = f"{finding.kind:12}{where}: {finding.problem}" + (f" {repair}" if repair else "")
            click.echo(visible(line))

    def _mend(self, copy: StoredCopy) -> tuple[bool, str]:
        """Whether the copy was repaired, and a sentence about it."""
        try:
            return True, self._parts.repair.mend(copy)
        except Exception as error:  # a plugin's backend may raise anything; the other findings are mended all the same
            return False, f"Not repaired: {error}"

    def _print_how_to_go_on(self, done: StoredCopy | None) -> None:
        after = f" --after {done.recording_uuid}" if done else ""
        click.echo(f"\nStopped. Go on with: flask recordings verify{after} and the same options.", err=True)

    @contextmanager
    def _progress(self, length: int) -> Iterator[Callable[[], None]]:
        """A function to call after each copy. It moves a progress bar when stderr is a terminal."""
        if not self._bar:
            yield lambda: None
            return
        with click.progressbar(length=length, label="Checking copies", file=sys.stderr, show_pos=True) as bar:
            yield lambda: bar.update(1)
