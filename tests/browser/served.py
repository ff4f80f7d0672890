"""A deployment as people meet it: a real gunicorn with archived calls, an account for each role, and a real browser."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page, sync_playwright

from recordings.access import Action, Actor, Role
from recordings.catalogue.database import Database
from recordings.catalogue.intake import Intake
from recordings.catalogue.people import People
from recordings.catalogue.search import RecordingFilter, search
from recordings.model import Announcement, Call, Delivery, State
from simulator import PretendVonage
from simulator.application import Application
from simulator.processes import wait_for
from tests.services.application import APPLICATION_ID, settings_below

CHROMIUM = ("chromium", "chromium-browser", "google-chrome")
PASSWORD = "correct horse battery"
CALLER = "447700900123"
PATIENCE = 60_000  # milliseconds: a loaded machine is slow, and no test waits longer than it must
FAILED = "failed-once"  # the recording_uuid
_BY = Actor("root", Role.ADMIN, None, "command")


def chromium() -> str | None:
    """The path of a browser that is installed here, or None."""
    return next(filter(None, map(shutil.which, CHROMIUM)), None)


class Served:
    """`app` is the running gunicorn, `vonage` places calls; `uuids` and `rows` are ids and addresses by name.

    The recordings are `split` (an mp3 with caller and callee apart), `mono` (a voicemail), `ogg`, `wav` and `failed`.
    """

    def __init__(self, app: Application, vonage: PretendVonage, database: Database, storage: str) -> None:
        self.app = app
        self.storage = storage
        self.vonage = vonage
        self.database = database
        self.people = People(database)
        self.uuids: dict[str, str] = {}
        self.rows: dict[str, str] = {}

    def fail(self, uuid: str) -> str:
        """The address of a recording that failed at its first attempt, being old, and will be there at the second."""
        then = datetime.now(UTC) - timedelta(days=40)
        file = self.vonage.add_file(faults=["404"])
        event = Announcement(uuid, f"CON-{uuid}", file.url, file.size, then - timedelta(seconds=9), then, then)
        self._note_call(event.conversation_uuid, flow="voicemail")
        delivery = Delivery("recordings", "POST", "flow=voicemail", "application/json", b"{}", APPLICATION_ID, True)
        Intake(self.database, [self.storage], clock=lambda: then).accept(delivery, [event])
        wait_for(lambda: self.found(uuid).recording.state is State.FAILED, f"{uuid} has failed", limit=60, pause=0.2)
        return self.address(uuid)

    def call(self, flow: str, **plan: Any) -> str:
        """A call in this flow is recorded; the recording's uuid."""
        result = self.vonage.call_flow(self.app.url, flow, **plan)
        assert result.ok, result.complaints
        return result.recordings[0].recording_uuid

    def announce(self, format: str) -> str:
        """A split recording of this format is announced; its uuid."""
        payload = self.vonage.recording_event(self.vonage.add_file(format=format, channels=2))
        self._note_call(payload["conversation_uuid"], flow="split", format=format, channels=2)
        sent = self.vonage.post_recording_event(f"{self.app.url}/webhooks/recordings?flow=split", payload)
        assert [reply.status for reply in sent.replies] == [204]
        return str(payload["recording_uuid"])

    def _note_call(self, conversation_uuid: str, **words: Any) -> None:
        call = Call(conversation_uuid, "leg", "447700900456", "447700900000", **words)
        Intake(self.database, [self.storage]).note_call(call, APPLICATION_ID)

    def found(self, uuid: str) -> Any:
        """The recording as a search finds it."""
        (found,) = search(self.database, RecordingFilter(recording_uuid=uuid), secret=b"any").rows
        return found

    def address(self, uuid: str) -> str:
        return f"/recordings/{self.found(uuid).id}"

    def wait_measured(self, uuid: str) -> None:
        """Until the recording is stored and its waveform is made."""
        wait_for(
            lambda: self.found(uuid).channels, f"{uuid} is measured", limit=90, pause=0.2, more=self.app.last_lines
        )

    def noted(self, action: Action, address: str) -> list[str]:
        """Who did this with the recording at an address, the newest first."""
        row_id = int(address.rpartition("/")[2])
        return [entry.person for entry in self.people.audit.entries(action=action) if entry.recording_id == row_id]


@contextlib.contextmanager
def serve(folder: Path, key_pem: str, vonage: PretendVonage) -> Iterator[Served]:
    """A deployment in this folder that has archived and measured its calls."""
    (folder / "plugins").mkdir()
    settings = settings_below(folder, key_pem, RECORDING_HOSTS=vonage.origin, CONSOLE_PASSWORD=PASSWORD)
    database = Database(settings["DATABASE_URL"])
    with contextlib.closing(database), Application(settings, folder / "gunicorn.log") as app:
        app.wait_until_ready()
        served = Served(app, vonage, database, settings["STORAGE_URL"])
        for role in (Role.VIEWER, Role.LISTENER, Role.OPERATOR):  # the admin is whoever knows CONSOLE_PASSWORD
            served.people.accounts.add(role.word, role, PASSWORD, by=_BY)
        served.uuids = {
            "split": served.call("split", caller=CALLER),
            "mono": served.call("voicemail"),
            "ogg": served.announce("ogg"),
            "wav": served.announce("wav"),
        }
        for uuid in served.uuids.values():
            served.wait_measured(uuid)
        served.rows = {name: served.address(uuid) for name, uuid in served.uuids.items()}
        served.rows["failed"] = served.fail(FAILED)
        yield served


@contextlib.contextmanager
def browsing() -> Iterator[Browser]:
    """The browser that is installed here."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium(), args=["--no-sandbox", "--autoplay-policy=no-user-gesture-required"]
        )
        yield browser
        browser.close()


def sign_in(page: Page, name: str) -> None:
    """Fill in the form of the log-in page as this person."""
    page.set_default_timeout(PATIENCE)
    page.goto("/login")
    page.get_by_label("Name").fill(name)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    page.get_by_role("heading", name="Overview").wait_for()


def weight(page: Page, address: str) -> int:
    """The bytes that come over the wire until nothing more comes; this page's browser has nothing of ours yet.

    It is closed in the end, with all that it has loaded.
    """
    received: list[int] = []
    session = page.context.new_cdp_session(page)
    session.send("Network.enable")
    session.on("Network.loadingFinished", lambda event: received.append(event["encodedDataLength"]))
    page.goto(address)
    if page.locator(".player[data-waveform]").count():
        page.locator(".wave canvas").first.wait_for()
    page.wait_for_load_state("networkidle")
    page.context.close()
    return sum(received)
