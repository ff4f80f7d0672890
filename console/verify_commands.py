"""`flask recordings verify`: is everything still where the catalogue says it is, and nothing else?"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

import click
from flask.cli import with_appcontext

from recordings.care.verify import Finding, NoSuchRecording, Verification
from recordings.catalogue.copies import StoredCopy
from recordings.errors import TapekeeperError

from .services import Services, services

INTERRUPTED = 130  # what a shell says of a program that Ctrl-C ended


@click.command()
@click.option("--deep", is_flag=True, help="Read every object back and hash it.")
@click.option("--repair", is_flag=True, help="Put a good object in the place of each one that is missing or damaged.")
@click.option("--after", metavar="RECORDING_UUID", help="Go on after this recording, where a check was stopped.")
@click.option("--objects/--no-objects", default=True, help="Also list the storages, for objects that no copy knows.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line, for each finding.")
@with_appcontext
def verify(deep: bool, repair: bool, after: str | None, objects: bool, as_json: bool) -> None:
    """Compare the catalogue with the storages: each stored copy is present, of the right size and checksum.

    Then each storage is listed: an `orphan` is an object that the catalogue knows nothing of, a `stray` belongs to a
    recording whose copy lies elsewhere. Neither is ever touched. A sidecar (.json) belongs to its audio.

    --repair changes only what has a good source: a copy in another storage that reads back right, or Vonage, as long as
    it keeps the recording (then a worker fetches it). A damaged object is first moved to damaged/ in the same storage,
    and only then deleted under its key.

    Exit code 0: all is good. 1: something was found, repaired or not. 2: the command is used wrongly.
    """
    with services() as parts:
        verification = Verification(parts.database, parts.storages, deep=deep)
        report = _Report(parts, repair=repair, as_json=as_json)
        start = _start(verification, after)
        report.check_copies(verification, start)
        if objects:
            report.check_objects(verification)
    click.echo(f"{report.checked} copies were checked; {report.found} findings.", err=True)
    sys.exit(1 if report.found else 0)


def _start(verification: Verification, after: str | None) -> int:
    try:
        return verification.place(after) if after else 0
    except NoSuchRecording as error:
        raise click.UsageError(str(error)) from error


class _Report:
    """Prints findings as they come, repairs where asked to, and knows where to go on."""

    def __init__(self, parts: Services, *, repair: bool, as_json: bool) -> None:
        self._parts = parts
        self._repair = repair
        self._as_json = as_json
        self._bar = sys.stderr.isatty()
        self.checked = 0
        self.found = 0

    def check_copies(self, verification: Verification, start: int) -> None:
        """Every copy after `start`. Ctrl-C ends the program, once it has told how to go on."""
        done: StoredCopy | None = None  # the last of a recording's copies: those after it are other recordings'
        last: StoredCopy | None = None
        try:
            with self._progress(verification.count(start)) as advance:
                for copy, finding in verification.copies(start):
                    done = last if last is not None and last.recording_id != copy.recording_id else done
                    if finding is not None:
                        self.tell(finding, copy)
                    last = copy
                    self.checked += 1
                    advance()
        except (KeyboardInterrupt, TapekeeperError) as error:
            self._say_where(done)
            if isinstance(error, KeyboardInterrupt):
                sys.exit(INTERRUPTED)
            raise

    def check_objects(self, verification: Verification) -> None:
        """Every object in every storage."""
        for finding in verification.strays():
            self.tell(finding)

    def tell(self, finding: Finding, copy: StoredCopy | None = None) -> None:
        """One finding, after its repair where one is wanted."""
        self.found += finding.kind != "aside"
        repaired, repair = self._mend(copy) if copy is not None and self._repair else (None, None)
        if self._bar:
            click.echo("\r\033[K", nl=False, err=True)  # the bar draws itself again
        if self._as_json:
            click.echo(json.dumps(asdict(finding) | {"repaired": repaired, "repair": repair}))
        else:
            where = f"{finding.recording_uuid or '-'}  {finding.storage} {finding.key}".rstrip()
            click.echo(f"{finding.kind:12}{where}: {finding.problem}" + (f" {repair}" if repair else ""))

    def _mend(self, copy: StoredCopy) -> tuple[bool, str]:
        try:
            return True, self._parts.repair.mend(copy)
        except Exception as error:  # a store's, perhaps a stranger's: the other findings are mended still
            return False, f"Not repaired: {error}"

    def _say_where(self, done: StoredCopy | None) -> None:
        after = f" --after {done.recording_uuid}" if done else ""
        click.echo(f"\nStopped. Go on with: flask recordings verify{after} and the same options.", err=True)

    @contextmanager
    def _progress(self, length: int) -> Iterator[Any]:
        if not self._bar:
            yield lambda: None
            return
        with click.progressbar(length=length, label="Checking copies", file=sys.stderr, show_pos=True) as bar:
            yield lambda: bar.update(1)
