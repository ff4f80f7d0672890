"""`make conformance`: schemathesis asks the API of a served deployment for whatever its document allows, and forbids.

Five calls are recorded and archived first, and a webhook is refused, so that there is something to find. Schemathesis
lives in a virtual environment of its own, with its many packages; what it finds ends this with 1.
"""

from __future__ import annotations

import argparse
import json
import secrets
import subprocess
import sys
import tempfile
import uuid
from pathlib import Path

import requests

from simulator import PretendVonage, public_pem
from simulator.application import Application
from simulator.demo import new_private_key, place_calls, watch
from simulator.demo_folder import place_settings

HERE = Path(__file__).resolve().parent


def main() -> int:
    """Serve, ask, and say what was found."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--st", default="build/schemathesis/bin/st", help="the command of schemathesis")
    parser.add_argument("--seconds", type=int, default=90, help="for how long it asks")
    parser.add_argument("options", nargs="*", help="more options for `st run`, behind --")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        return serve_and_ask(Path(folder), Path(chosen.st).absolute(), chosen.seconds, chosen.options)


def serve_and_ask(folder: Path, command: Path, seconds: int, options: list[str]) -> int:
    """The exit status of schemathesis; 1 as well when the application logged an error."""
    (folder / "scratch").mkdir()
    key, secret, application_id = new_private_key(), secrets.token_urlsafe(32), str(uuid.uuid4())
    with PretendVonage(application_id, public_pem(key), secret) as vonage:
        settings = place_settings(folder) | {
            "VONAGE_APPLICATION_ID": application_id,
            "VONAGE_PRIVATE_KEY": key,
            "VONAGE_SIGNATURE_SECRET": secret,
            "RECORDING_HOSTS": vonage.origin,
            "DEMO_DOOR": "false",
        }
        with Application(settings, folder / "application.log") as application:
            application.wait_until_ready()
            watch(application, place_calls(vonage, application.url), folder / "recordings")
            requests.post(f"{application.url}/webhooks/recordings", json={"not": "signed"}, timeout=10)
            status = ask(application, folder, command, seconds, options)
        errors = [line for line in application.output().splitlines() if " ERROR " in line]
        print("\n".join(errors[:20]))
        return status or int(bool(errors))


def ask(application: Application, folder: Path, command: Path, seconds: int, options: list[str]) -> int:
    """Run schemathesis as an admin, in this folder, where it leaves what it keeps; its exit status."""
    made = application.flask("tokens", "add", "schemathesis", "--role", "admin", "--json")
    token = json.loads(made.stdout)["token"]
    words = [str(command), "--config-file", str(HERE / "schemathesis.toml"), "run", *options]
    # The same examples at each run, so that a finding is one for everybody; `-- --seed N` explores.
    words += [] if "--seed" in options else ["--seed", "1"]
    words += ["--max-time", str(seconds), "--header", f"Authorization: Bearer {token}"]
    run = subprocess.run([*words, f"{application.url}/api/openapi.json"], cwd=folder, timeout=seconds + 120)
    return run.returncode


if __name__ == "__main__":
    sys.exit(main())
