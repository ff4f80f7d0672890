"""What another process commits is heard of at once, on either database."""

from __future__ import annotations

import threading
import time

from recordings.catalogue.changes import Changes
from recordings.catalogue.database import Database
from recordings.catalogue.intake import Intake
from recordings.model import Announcement, Delivery
from tests.services.servers import database_url, postgres_server_url, postgres_url  # noqa: F401 - fixtures

STORAGE = "file:///tapes"


def take_in_one(url):
    """As another process would: through a connection of its own."""
    database = Database(url)
    event = Announcement("a-recording", "CON-1", "https://api.nexmo.com/v1/files/x", 1, None, None, None)
    Intake(database, [STORAGE]).accept(Delivery("recordings", "POST", "", "", b"", "an-application", True), [event])
    database.close()


def test_a_commit_of_another_process_ends_the_wait(database_url):  # noqa: F811 - the fixture
    database = Database(database_url)
    database.migrate()
    changes, stopping = Changes(database), threading.Event()
    changes.wait(0, stopping)  # connected, and what was before does not count
    timer = threading.Timer(0.2, take_in_one, [database_url])
    timer.start()
    begun = time.monotonic()
    changes.wait(20, stopping)
    assert 0.2 <= time.monotonic() - begun < 10
    timer.join()
    changes.close()
    database.close()
