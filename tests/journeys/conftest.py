"""A pretend Vonage and a look into a running deployment's catalogue and folder, shared by a module's journeys."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest

from recordings.catalogue.database import Database
from recordings.catalogue.intake import Intake
from recordings.catalogue.listing import find
from recordings.model import Announcement, Delivery
from tests.services.application import APPLICATION_ID

QUICK = {"RETRY_FIRST_SECONDS": "1", "RETRY_MAX_SECONDS": "1", "LEASE_SECONDS": "3"}


class Archive:
    """What a deployment keeps below its folder, read beside it: its catalogue and its audio."""

    def __init__(self, folder: Path, until):
        self.folder = folder
        self.recordings = folder / "recordings"
        self.database = Database(f"sqlite:///{folder}/tapekeeper.db")
        self._until = until

    def find(self, recording_uuid):
        """The recording, or None while the catalogue does not know it."""
        return next(iter(find(self.database, recording_uuid)), None)

    def wait(self, recording_uuid, state):
        """The recording, once it shows this state."""

        def reached():
            recording = self.find(recording_uuid)
            return recording if recording and recording.state == state else None

        return self._until(reached, f"{recording_uuid} is {state}: {self.find(recording_uuid)}")

    def wait_stored(self, recording_uuid, file):
        """The recording, once it is stored, read back and compared: one copy, one file, byte for byte."""
        recording = self.wait(recording_uuid, "stored")
        (copy,) = recording.copies
        assert (copy.size, copy.sha256, copy.error) == (file.size, file.sha256, None)
        assert (self.recordings / copy.key).read_bytes() == file.content
        assert self.files_of(recording_uuid) == {copy.key, f"{copy.key}.json"}
        return recording

    def files_of(self, recording_uuid):
        """Every file in the folder whose name holds the uuid, or that is no finished file."""
        paths = [path for path in self.recordings.rglob("*") if path.is_file()]
        odd = [path for path in paths if recording_uuid in path.name or path.name.startswith(".")]
        return {str(path.relative_to(self.recordings)) for path in odd}

    def never_ready(self, vonage):
        """Take in a recording that is never there, before the start: its retries keep the sweep at its short interval.

        Else a journey would wait for the idle sweep's 15 s.
        """
        file = vonage.add_file(faults=["404"] * 1000)
        event = Announcement("never-ready", "CON-never-ready", file.url, file.size, None, None, None)
        delivery = Delivery("recordings", "POST", "", "", b"", APPLICATION_ID, True)
        Intake(self.database, [f"file://{self.recordings}"]).accept(delivery, [event])


@pytest.fixture(scope="module")
def vonage(make_vonage):
    """One pretend Vonage for the module."""
    with make_vonage() as running:
        yield running


@pytest.fixture(scope="module")
def deploy(make_gunicorn, tmp_path_factory, vonage, until):
    """`deploy(**settings)`: a deployment in a folder of its own, not started; and its `Archive`."""
    with contextlib.ExitStack() as closing:

        def make(**settings):
            folder = tmp_path_factory.mktemp("deployment")
            archive = Archive(folder, until)
            closing.callback(archive.database.close)
            return make_gunicorn(folder, vonage, **QUICK | settings), archive

        yield make


@pytest.fixture(scope="module")
def post(vonage):
    """`post(gunicorn, file, **changes)`: a recording event of this file, acknowledged; its recording_uuid."""

    def deliver(gunicorn, file, **changes):
        payload = vonage.recording_event(file, **changes)
        sent = vonage.post_recording_event(f"{gunicorn.url}/webhooks/recordings", payload)
        assert [reply.status for reply in sent.replies] == [204]
        return payload["recording_uuid"]

    return deliver
