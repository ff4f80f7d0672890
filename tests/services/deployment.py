"""An application in this process, with a catalogue and a storage of its own, and its commands."""

from __future__ import annotations

import json
import logging
import uuid
from datetime import UTC, datetime

import pytest
from click.testing import CliRunner
from flask.cli import FlaskGroup

from recordings.model import Announcement, Delivery
from wsgi import create_app


def run_command(environ, *words):
    """A command in this process, as `flask` itself runs it: with these settings and parts of its own."""
    root = logging.getLogger()
    handlers = list(root.handlers)
    group = FlaskGroup(create_app=lambda: create_app(environ), load_dotenv=False)
    try:
        return CliRunner().invoke(group, [str(word) for word in words], prog_name="flask")
    finally:
        root.handlers[:] = handlers  # the command's own one writes to the runner's stderr, which is closed now


class Deployment:
    """`run(*words)`: a flask command of it; `wiring`: its parts; `client`: its HTTP side, with unsigned requests."""

    def __init__(self, environ):
        self.environ = environ
        self.app = create_app(environ)
        self.app.config["API_READ_SECONDS"] = 60.0  # the machine may be slow
        self.wiring = self.app.extensions["tapekeeper"]
        self.client = self.app.test_client()

    def run(self, *words):
        return run_command(self.environ, *words)

    def objects(self, *words):
        """What a command with `--json` printed, parsed."""
        return [json.loads(line) for line in self.run(*words, "--json").stdout.splitlines()]

    def announce(self, **changes):
        """A recording event is taken in; its announcement and the ids of its copies."""
        now = datetime.now(UTC)
        fields = {"recording_uuid": str(uuid.uuid4()), "conversation_uuid": f"CON-{uuid.uuid4()}", "size": 100}
        fields |= {"recording_url": "https://api.nexmo.com/v1/files/x"}
        event = Announcement(**fields | {"start_time": now, "end_time": now, "timestamp": now} | changes)
        application = self.wiring.settings.vonage_application_id
        delivery = Delivery("recordings", "POST", "flow=call", "application/json", b"{}", application, True)
        return event, self.wiring.intake.accept(delivery, [event]).copy_ids

    def archive(self, file, **changes):
        """The recording of this file is announced and archived; its announcement."""
        event, copy_ids = self.announce(**{"recording_url": file.url, "size": file.size} | changes)
        for copy_id in copy_ids:
            self.look_at(copy_id)
        return event

    def look_at(self, copy_id):
        """One attempt at this copy, if it is due."""
        if claim := self.wiring.leases.claim(copy_id):
            self.wiring.retrieval.archive(claim)

    def work(self):
        """One attempt at every copy that is due."""
        while claim := self.wiring.leases.claim_next():
            self.wiring.retrieval.archive(claim)

    def close(self):
        self.wiring.close()


@pytest.fixture
def deploy(make_environ, tmp_path, own_logging):
    """`deploy(**settings)`: a deployment below the test's folder; several share its catalogue and its storage."""
    (tmp_path / "plugins").mkdir(exist_ok=True)
    made = []

    def make(**changes):
        made.append(Deployment(make_environ(tmp_path, **changes)))
        return made[-1]

    yield make
    for deployment in made:
        deployment.close()
