"""`flask recordings copy --to URL`: give a storage that was added later the recordings that are older than it."""

from __future__ import annotations

import logging
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, as_completed, wait
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import click

from commands.parts import visible, with_parts
from recordings.clock import utc_now
from recordings.messages import message_of
from recordings.model import Recording, State

from .storage_argument import configured

if TYPE_CHECKING:
    from recordings.archive.failures import RetryPolicy
    from recordings.archive.heartbeat import Heartbeat
    from recordings.archive.replicate import Replicator
    from recordings.archive.retrieval import Retrieval
    from recordings.catalogue.database import Database
    from recordings.catalogue.leases import Leases
    from recordings.catalogue.schedule import Schedule
    from recordings.storage import StorageBackend
    from settings import Settings

COPIED, FAILED, BUSY, LEFT, LOST = "copied", "failed", "busy", "left", "lost"
# What the summary says of each outcome: after the work, and after a dry run.
_SENTENCES = {
    COPIED: ("copied", "would be copied from another storage"),
    FAILED: ("FAILED; the reasons are above, and a repetition tries them again", ""),
    BUSY: ("in work elsewhere just now", ""),
    LEFT: ("left to the workers, who fetch them from Vonage", "would be left to the workers, who fetch from Vonage"),
    LOST: ("without any copy, and older than Vonage keeps them", "without any copy, and older than Vonage keeps them"),
}


class Parts(Protocol):
    """What this command uses."""

    @property
    def settings(self) -> Settings: ...
    @property
    def database(self) -> Database: ...
    @property
    def storages(self) -> Mapping[str, StorageBackend]: ...
    @property
    def retrieval(self) -> Retrieval: ...
    @property
    def replicator(self) -> Replicator: ...
    @property
    def heartbeat(self) -> Heartbeat: ...
    @property
    def leases(self) -> Leases: ...
    @property
    def schedule(self) -> Schedule: ...
    @property
    def policy(self) -> RetryPolicy: ...


@click.command("copy", short_help="Fill a storage that was added later.")
@click.option(
    "--to", "url", required=True, help="The storage that is to get the recordings; it must be in STORAGE_URL."
)
@click.option("--jobs", default=4, show_default=True, type=click.IntRange(1, 64), help="Copies at the same time.")
@click.option("--dry-run", is_flag=True, help="Only say what would be done.")
@with_parts
def command(parts: Parts, url: str, jobs: int, dry_run: bool) -> None:
    """Give a storage every recording that has no stored copy there yet.

    They are copied from a storage that has them, verified by their SHA-256 on the way. What no storage has is left to
    the workers, as long as Vonage keeps it. May be interrupted and repeated at any time: what is there is not copied
    again. Exit code 1 when a copy failed.
    """
    from recordings.catalogue import copies

    replication = _Replication(parts, configured(parts.settings.storage_url, url))
    if dry_run:
        outcomes = Counter(replication.plan(recording) for _, recording in replication.lacking())
        _summarise(outcomes, replication.storage, dry_run)
        return
    _check(replication)
    outcomes = _run(replication, copies.count_lacking(parts.database, replication.storage), jobs)
    _summarise(outcomes, replication.storage, dry_run)
    sys.exit(1 if outcomes[FAILED] else 0)


def _check(replication: _Replication) -> None:
    """End the command with one line when the storage cannot be used, in place of one line for each recording."""
    replication.parts.retrieval  # noqa: B018 - made now, with all that it needs, and not by several threads at once
    try:
        replication.parts.storages[replication.storage].check()
    except Exception as error:  # a plugin's backend may raise anything
        raise click.ClickException(f"{replication.storage} cannot be used: {visible(message_of(error))}") from error


def _run(replication: _Replication, total: int, jobs: int) -> Counter[str]:
    """Copy everything, with a progress bar when stderr is a terminal. Returns how often each outcome came."""
    if sys.stderr.isatty():
        # A line for each stored copy would tear the bar apart.
        logging.getLogger("recordings.archive.retrieval").setLevel(logging.WARNING)
    outcomes: Counter[str] = Counter()
    try:
        with click.progressbar(length=total, label=f"Copying to {replication.storage}", file=sys.stderr) as bar:
            for outcome in _side_by_side(replication.copy, replication.lacking(), jobs):
                outcomes[outcome] += 1
                bar.update(1)
    except KeyboardInterrupt:
        replication.stop()
        _summarise(outcomes, replication.storage, False)
        click.echo("Interrupted: repeat the command to go on.", err=True)
        sys.exit(130)
    return outcomes


def _side_by_side(
    copy: Callable[[int, Recording], str], work: Iterator[tuple[int, Recording]], jobs: int
) -> Iterator[str]:
    """The outcomes, as each copy ends. Reads from `work` only as many recordings as are copied at the same time."""
    running: set[Future[str]] = set()
    pool = ThreadPoolExecutor(jobs, thread_name_prefix="copy")
    try:
        for recording_id, recording in work:
            running.add(pool.submit(copy, recording_id, recording))
            if len(running) >= jobs:
                done, running = wait(running, return_when=FIRST_COMPLETED)
                yield from (future.result() for future in done)
        yield from (future.result() for future in as_completed(running))
    finally:
        # After Ctrl-C the running copies are not waited for here: they end at their next read, as `stop` tells them to.
        pool.shutdown(wait=False, cancel_futures=True)


@dataclass(frozen=True)
class _Replication:
    """Copies one recording after the other into `storage`."""

    parts: Parts
    storage: str

    def lacking(self) -> Iterator[tuple[int, Recording]]:
        """The recordings without a stored copy in the storage, each with its row's id."""
        from recordings.catalogue import copies

        return copies.lacking(self.parts.database, self.storage)

    def plan(self, recording: Recording) -> str:
        """The outcome that `copy` will have, as far as it can be known before."""
        if self.parts.replicator.sources(recording, self.storage):
            return COPIED
        return LOST if utc_now() >= self.parts.policy.deadline(recording) else LEFT

    def copy(self, recording_id: int, recording: Recording) -> str:
        """Copy the recording, under a lease as workers do it; or leave it to the workers when no storage has it."""
        from recordings.catalogue import copies

        plan = self.plan(recording)
        if plan == LEFT:
            self.parts.schedule.request(recording_id, self.storage)
        if plan in (LEFT, LOST):
            return plan
        claim = self.parts.leases.take(recording_id, self.storage)
        if claim is None:
            return BUSY
        self.parts.retrieval.carry_out(claim, self.parts.replicator.attempt)
        state, _ = copies.state_of(self.parts.database, claim.copy_id)
        return COPIED if state is State.STORED else FAILED

    def stop(self) -> None:
        """Give the leases back. The copies in work end at their next read."""
        self.parts.heartbeat.release_all()


def _summarise(outcomes: Counter[str], storage: str, dry_run: bool) -> None:
    for outcome, sentences in _SENTENCES.items():
        if outcomes[outcome]:
            click.echo(f"{outcomes[outcome]} {sentences[dry_run]}.")
    if not outcomes:
        click.echo(f"{storage} has every recording.")
