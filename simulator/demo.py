"""`make demo`: the whole application against the pretend Vonage, on real speech, with nothing to set up.

Here lives the story: five calls, one in each flow, until every recording lies in the storage folder and its bytes have
been read back and compared. Exit status 0 when they all do, 1 when something did not arrive.
"""

from __future__ import annotations

import argparse
import hashlib
import secrets
import shutil
import signal
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, NoReturn

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from tabulate import tabulate

from .application import Application
from .processes import ApplicationError
from .results import CallResult, MadeRecording
from .signing import public_pem
from .vonage import FLOWS, PretendVonage

PATIENCE = 40.0
HEADERS = ("flow", "recording", "file", "size", "SHA-256", "seconds")


class DemoFailure(Exception):
    """Something did not arrive; the message says what."""


@dataclass(frozen=True)
class Archived:
    """A recording that lies in the storage folder, verified. `seconds` run from its event to its archived copy."""

    flow: str
    made: MadeRecording
    key: str
    sha256: str
    seconds: float

    def row(self) -> tuple[str, ...]:
        return (
            self.flow,
            self.made.recording_uuid,
            self.key.rpartition("/")[2],
            f"{self.made.size:,}",
            self.sha256[:16],
            f"{self.seconds:.2f}",
        )


def main(argv: Sequence[str] | None = None) -> int:
    """Run the demo; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m simulator.demo", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--keep", action="store_true", help="leave everything running afterwards, for a look around")
    options = parser.parse_args(argv)
    for ending in (signal.SIGTERM, signal.SIGINT):  # SIGINT too: a shell's background job has it ignored
        signal.signal(ending, _terminated)
    work = Path(tempfile.mkdtemp(prefix="tapekeeper-demo-"))
    try:
        _run(work, keep=options.keep)
    except KeyboardInterrupt:
        print("\nStopped; the application was ended and nothing is left behind.")
        shutil.rmtree(work, ignore_errors=True)
        return 130
    except (ApplicationError, DemoFailure) as error:
        print(f"{error}\nThe application's log is {work / 'application.log'}.", file=sys.stderr)
        return 1
    shutil.rmtree(work, ignore_errors=True)
    return 0


def _terminated(_: int, __: Any) -> NoReturn:
    raise KeyboardInterrupt


def _run(work: Path, *, keep: bool) -> None:
    begun = time.monotonic()
    private_key, secret, application_id = new_private_key(), secrets.token_urlsafe(32), str(uuid.uuid4())
    with PretendVonage(application_id, public_pem(private_key), secret) as vonage:
        settings = {
            "VONAGE_APPLICATION_ID": application_id,
            "VONAGE_PRIVATE_KEY": private_key,
            "VONAGE_SIGNATURE_SECRET": secret,
            "RECORDING_HOSTS": vonage.origin,
            **place_settings(work),
        }
        with Application(settings, work / "application.log") as application:
            say(f"Starting the application at {application.url}; the pretend Vonage is at {vonage.origin}.")
            application.wait_until_ready()
            archived = watch(application, place_calls(vonage, application.url), work / "recordings")
            print(f"\n{tabulate([recording.row() for recording in archived], HEADERS, disable_numparse=True)}\n")
            took = time.monotonic() - begun
            print(
                f"All {len(archived)} recordings are archived: read back from storage, byte for byte what was served, "
                f"{took:.0f} seconds after the start."
            )
            if keep:
                linger(application.url, work)


def new_private_key() -> str:
    """An RSA key such as the dashboard gives: PKCS#8 PEM."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def place_settings(work: Path) -> dict[str, str]:
    """The settings that keep everything of the demo below `work`."""
    return {
        "DATABASE_URL": f"sqlite:///{work}/tapekeeper.db",
        "STORAGE_URL": f"file://{work}/recordings",
        "FORWARD_TO": "447700900002",
        "VONAGE_NUMBER": "447700900000",
        "TMPDIR": str(work),
    }


def place_calls(vonage: PretendVonage, url: str) -> dict[str, tuple[str, MadeRecording]]:
    """One call in each flow: recording_uuid to its flow and recording. `DemoFailure` when a call is not recorded."""
    made = {}
    for flow in FLOWS:
        result = vonage.call_flow(url, flow)
        if not result.ok:
            raise DemoFailure(f"The call in flow {flow} went wrong: {_what_went_wrong(result).rstrip('.')}.")
        for recording in result.recordings:
            made[recording.recording_uuid] = (flow, recording)
            say(f"{flow}: called, {recording.size:,} bytes recorded, event answered {recording.replies[0].status}.")
    return made


def _what_went_wrong(result: CallResult) -> str:
    announced = [recording.event for recording in result.recordings if recording.event]
    for event in [*result.events, *announced]:
        for reply in event.replies:
            if not reply.accepted:
                return f"an event to {event.url} was answered {reply.status or reply.error}"
    return " ".join(result.complaints) or "nothing was recorded"


def watch(
    application: Application, made: Mapping[str, tuple[str, MadeRecording]], folder: Path, patience: float = PATIENCE
) -> list[Archived]:
    """Wait until the catalogue says `stored` for each recording, then read each back from `folder` and compare."""
    deadline, archived = time.monotonic() + patience, dict[str, Archived]()
    while len(archived) < len(made):
        listed = {entry["recording_uuid"]: entry for entry in application.list_recordings()}
        for recording_uuid, (flow, recording) in made.items():
            entry = listed.get(recording_uuid, {"state": "not in the catalogue"})
            if entry["state"] == "stored" and recording_uuid not in archived:
                archived[recording_uuid] = read_back(flow, recording, entry, folder)
                say(f"{flow}: archived as {archived[recording_uuid].key}.")
        if len(archived) < len(made) and time.monotonic() > deadline:
            raise DemoFailure(_missing(made, listed, archived, patience))
    return [archived[recording_uuid] for recording_uuid in made]


def _missing(
    made: Mapping[str, tuple[str, MadeRecording]],
    listed: Mapping[str, Mapping[str, Any]],
    archived: Mapping[str, Archived],
    patience: float,
) -> str:
    lines = []
    for recording_uuid, (flow, _) in made.items():
        if recording_uuid not in archived:
            entry = listed.get(recording_uuid, {})
            reasons = [copy["error"] for copy in entry.get("copies", []) if copy.get("error")]
            why = f" ({reasons[0]})" if reasons else ""
            lines.append(f"  {flow}: recording {recording_uuid} is {entry.get('state', 'not in the catalogue')}{why}")
    return f"Not everything was archived within {patience:.0f} seconds:\n" + "\n".join(lines)


def read_back(flow: str, recording: MadeRecording, entry: Mapping[str, Any], folder: Path) -> Archived:
    """Compare the archived bytes with the served ones; `DemoFailure` when they differ or the file is not there."""
    copy = entry["copies"][0]
    try:
        content = (folder / copy["key"]).read_bytes()
    except OSError as error:
        raise DemoFailure(f"{flow}: {copy['key']} is said to be stored but cannot be read: {error.strerror}.") from None
    if recording.file is None or content != recording.file.content:
        raise DemoFailure(f"{flow}: {copy['key']} does not hold the bytes that were served.")
    stored_at = datetime.fromisoformat(copy["stored_at"]).timestamp()
    seconds = max(0.0, stored_at - recording.replies[0].sent_at)
    return Archived(flow, recording, copy["key"], hashlib.sha256(content).hexdigest(), seconds)


def linger(url: str, work: Path) -> None:
    """Leave all as it is until Ctrl-C."""
    print(f"The application runs at {url}; its files are below {work}. Ctrl-C ends everything.")
    threading.Event().wait()


def say(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main())
