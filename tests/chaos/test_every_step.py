"""A worker that dies before or after any commit and any call of its store; and every misbehaviour of the source.

Each time the copy ends up stored, once and whole. The death is an exception that no code may catch.
"""

from __future__ import annotations

import contextlib
import dataclasses

import pytest

from recordings.catalogue.intake import Intake
from recordings.catalogue.leases import Leases
from recordings.catalogue.listing import find
from recordings.model import Announcement, Delivery
from settings import load
from simulator import FAULTS
from wsgi import Wiring

STEPS = 10  # commits and calls of one attempt, each with a before and an after
SIZE = 20_000
ENDLESS = {"hang"}  # a minute, by the clock on the wall
AT_ONCE = {"chunked", "drip", "redirect", "close-delimited"}  # odd, but no fault
BLOCKED = {"401", "403", "redirect-stranger"}


class Died(BaseException):
    """Stands for kill -9."""


class Doom:
    """Counts steps and dies at one of them."""

    def __init__(self, last: int | None = None) -> None:
        self.steps, self.last = 0, last

    def step(self) -> None:
        self.steps += 1
        if self.steps == self.last:
            raise Died


class DoomedStorage:
    """A backend that may die before or after each call of the store."""

    def __init__(self, backend, doom):
        self._backend, self._doom = backend, doom

    def __getattr__(self, name):
        call = getattr(self._backend, name)

        def doomed(*args, **kwargs):
            self._doom.step()
            try:
                return call(*args, **kwargs)
            finally:
                self._doom.step()

        return doomed


class DoomedDatabase:
    """A database that may die before or after each commit."""

    def __init__(self, database, doom):
        self._database, self._doom = database, doom

    def __getattr__(self, name):
        return getattr(self._database, name)

    @contextlib.contextmanager
    def write(self, deadline=None):
        with self._database.write(deadline) as connection:
            yield connection
            self._doom.step()
        self._doom.step()


@pytest.fixture
def wiring(make_environ, tmp_path, vonage):
    (tmp_path / "plugins").mkdir()
    parts = Wiring(load(make_environ(tmp_path, RECORDING_HOSTS=vonage.origin)))
    yield parts
    parts.database.close()


@pytest.fixture
def take_in(wiring, application_id, clock):
    """`take_in(file)` announces the file, commits it, and returns its copy's id."""
    intake = Intake(wiring.database, list(wiring.storages), clock=clock)

    def accept(file):
        event = Announcement(f"recording-{file.id}", "CON-1", file.url, file.size, None, None, None)
        delivery = Delivery("recordings", "POST", "", "application/json", b"{}", application_id, True)
        (copy_id,) = intake.accept(delivery, [event]).copy_ids
        return copy_id

    return accept


@pytest.fixture
def attempt(wiring, clock):
    """`attempt(copy_id, doom)` makes one attempt at the copy with a new worker."""

    def look(copy_id, doom):
        leases = Leases(DoomedDatabase(wiring.database, doom), clock=clock)
        storages = {url: DoomedStorage(backend, doom) for url, backend in wiring.storages.items()}
        worker = dataclasses.replace(wiring.retrieval, leases=leases, storages=storages, clock=clock)
        with contextlib.suppress(Died):
            if claim := leases.claim(copy_id):
                worker.archive(claim)

    return look


def stored(wiring, file, folder):
    """The one copy, once it is checked that nothing but it and its sidecar lies in the storage."""
    (recording,) = find(wiring.database, f"recording-{file.id}")
    (copy,) = recording.copies
    paths = [path for path in (folder / "recordings").rglob("*") if path.is_file()]
    assert copy.state == "stored", copy.error
    assert sorted(path.suffix for path in paths) == [".json", ".mp3"]
    assert next(path for path in paths if path.suffix == ".mp3").read_bytes() == file.content
    assert copy.sha256 == file.sha256
    return copy


@pytest.mark.parametrize("step", range(1, STEPS + 1))
def test_a_death_at_any_step_costs_an_attempt_and_nothing_else(wiring, vonage, take_in, attempt, clock, tmp_path, step):
    file, doom = vonage.add_file(size=SIZE), Doom(step)
    copy_id = take_in(file)
    attempt(copy_id, doom)
    assert doom.steps == step
    clock.move(61)  # the lease is over
    attempt(copy_id, Doom())
    copy = stored(wiring, file, tmp_path)
    assert copy.attempts == (1 if step in (1, STEPS) else 2)  # its claim was not committed; all was


def test_these_are_all_steps(wiring, vonage, take_in, attempt, clock):
    copy_id, doom = take_in(vonage.add_file(size=SIZE)), Doom()
    attempt(copy_id, doom)
    assert doom.steps == STEPS


@pytest.mark.parametrize("fault", sorted({*FAULTS, "401", "403", "404", "410", "408", "500", "503"} - ENDLESS))
def test_every_misbehaviour_ends_in_a_stored_copy(wiring, vonage, take_in, attempt, clock, tmp_path, fault):
    file = vonage.add_file(size=SIZE, faults=["drip:0.001" if fault == "drip" else fault])
    copy_id = take_in(file)
    attempt(copy_id, Doom())
    (copy,) = find(wiring.database, f"recording-{file.id}")[0].copies
    expected = "stored" if fault in AT_ONCE else "blocked" if fault in BLOCKED else "waiting"
    assert copy.state == expected, copy.error
    clock.move(3600 * 1.2)
    attempt(copy_id, Doom())
    assert stored(wiring, file, tmp_path).attempts == (1 if fault in AT_ONCE else 2)
    assert not any(visit.leaked for visit in vonage.stranger_visits)
