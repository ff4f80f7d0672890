"""`flask recordings copy --to URL`: a storage that was added later gets the recordings that were there before it."""

from __future__ import annotations

import logging
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, as_completed, wait
from dataclasses import dataclass
from datetime import UTC, datetime

import click
from flask.cli import with_appcontext

from recordings.catalogue import copies
from recordings.model import Recording, State

from .services import Services, services

COPIED, FAILED, BUSY, LEFT, LOST = "copied", "failed", "busy", "left", "lost"
_WORDS = {
    COPIED: ("copied", "would be copied from another storage"),
    FAILED: ("FAILED; the reasons are above, and a repetition tries them again", ""),
    BUSY: ("in work elsewhere just now", ""),
    LEFT: ("left to the workers, who fetch them from Vonage", "would be left to the workers, who fetch from Vonage"),
    LOST: ("without any copy, and older than Vonage keeps them", "without any copy, and older than Vonage keeps them"),
}


@click.command()
@click.option("--to", "url", required=True, help="The storage that is to get them; it must be in STORAGE_URL.")
@click.option("--jobs", default=4, show_default=True, type=click.IntRange(1, 64), help="Copies at the same time.")
@click.option("--dry-run", is_flag=True, help="Only tell what would be done.")
@with_appcontext
def copy(url: str, jobs: int, dry_run: bool) -> None:
    """Give a storage every recording that has no stored copy there yet.

    They are copied from a storage that has them, verified by their SHA-256 on the way. What no storage has is left to
    the workers, as long as Vonage keeps it. May be interrupted and repeated at any time: what is there is not copied
    again. Exit code 1 when a copy failed.
    """
    with services() as parts:
        job = _Job(parts, _configured(parts, url))
        total = copies.count_lacking(parts.database, job.storage)
        if dry_run:
            _summarise(Counter(job.plan(recording) for _, recording in job.lacking()), job.storage, dry_run)
            return
        _check(job)
        seen = _done(job, total, jobs)
    _summarise(seen, job.storage, dry_run)
    sys.exit(1 if seen[FAILED] else 0)


def _configured(parts: Services, url: str) -> str:
    for storage in parts.settings.storage_url:
        if url.rstrip("/") == storage.rstrip("/"):
            return storage
    configured = " ".join(parts.settings.storage_url)
    raise click.ClickException(
        f"{url} is not in STORAGE_URL ({configured}). Add it there first and restart the app, so that new recordings "
        "go there too; then repeat this."
    )


def _check(job: _Job) -> None:
    """Better one line now than one for each recording."""
    job.parts.retrieval  # noqa: B018 - made now, with all that it needs, and not by several threads at once
    try:
        job.parts.storages[job.storage].check()
    except Exception as error:  # whatever a stranger's backend raises
        raise click.ClickException(f"{job.storage} cannot be used: {error or type(error).__name__}") from error


def _done(job: _Job, total: int, jobs: int) -> Counter[str]:
    """Do it all, with a progress bar where somebody looks."""
    if sys.stderr.isatty():
        # A line for each stored copy would tear the bar apart.
        logging.getLogger("recordings.archive.retrieval").setLevel(logging.WARNING)
    seen: Counter[str] = Counter()
    try:
        with click.progressbar(length=total, label=f"Copying to {job.storage}", file=sys.stderr) as bar:
            for outcome in _side_by_side(job.do, job.lacking(), jobs):
                seen[outcome] += 1
                bar.update(1)
    except KeyboardInterrupt:
        job.stop()
        _summarise(seen, job.storage, False)
        click.echo("Interrupted: repeat the command to go on.", err=True)
        sys.exit(130)
    finally:
        job.parts.replicator.close()
    return seen


def _side_by_side(
    do: Callable[[int, Recording], str], work: Iterator[tuple[int, Recording]], jobs: int
) -> Iterator[str]:
    """The outcomes as they come; no more of the work is looked up than is being done."""
    running: set[Future[str]] = set()
    pool = ThreadPoolExecutor(jobs, thread_name_prefix="copy")
    try:
        for item in work:
            running.add(pool.submit(do, *item))
            if len(running) >= jobs:
                done, running = wait(running, return_when=FIRST_COMPLETED)
                yield from (future.result() for future in done)
        yield from (future.result() for future in as_completed(running))
    finally:
        # Not waited for: whoever interrupts gets the prompt back when the streams have noticed, which is at exit.
        pool.shutdown(wait=False, cancel_futures=True)


@dataclass(frozen=True)
class _Job:
    """What becomes of one recording after the other."""

    parts: Services
    storage: str

    def lacking(self) -> Iterator[tuple[int, Recording]]:
        """The recordings without a stored copy in the storage, with their rows' ids."""
        return copies.lacking(self.parts.database, self.storage)

    def plan(self, recording: Recording) -> str:
        """What `do` will do, as far as it can be known."""
        if self.parts.replicator.sources(recording, self.storage):
            return COPIED
        return LOST if datetime.now(UTC) >= self.parts.policy.deadline(recording) else LEFT

    def do(self, recording_id: int, recording: Recording) -> str:
        """Copy it, under a lease like every other; or leave it to those who can."""
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
        """Give the leases back; the copies in work end at their next piece."""
        self.parts.heartbeat.release_all()


def _summarise(seen: Counter[str], storage: str, dry_run: bool) -> None:
    for outcome, words in _WORDS.items():
        if seen[outcome]:
            click.echo(f"{seen[outcome]} {words[dry_run]}.")
    if not seen:
        click.echo(f"{storage} has every recording.")
