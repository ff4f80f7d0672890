"""`python -m simulator`: a pretend Vonage in the foreground, for an application that runs in another terminal.

Here lives the command line only. `serve` offers files; `call` places calls and serves what they recorded.
"""

from __future__ import annotations

import argparse
import os
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from .results import CallResult
from .signing import public_pem
from .vonage import FLOWS, PretendVonage


def main(argv: Sequence[str] | None = None) -> int:
    """Exit status 0, 1 when a call went wrong, 2 for wrong arguments."""
    parser = _parser()
    options = parser.parse_args(argv)
    if not (options.application_id and options.secret and (options.private_key or options.public_key)):
        parser.error("Give --application-id, --secret and --private-key or --public-key, or set the VONAGE_ variables.")
    try:
        key = _public_key(options)
    except (OSError, ValueError) as error:
        parser.error(f"The key cannot be read ({error}). Give a PEM file, or PEM text in VONAGE_PRIVATE_KEY.")
    try:
        vonage = PretendVonage(options.application_id, key, options.secret, options.host, options.port, sized_ids=True)
    except OSError as error:
        parser.error(f"Port {options.port} cannot be used ({error.strerror}). Choose another with --port.")
    with vonage:
        try:
            return _run(vonage, options)
        except KeyboardInterrupt:
            return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m simulator", description="A pretend Vonage on a loopback port.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=4010, help="0 takes any free port (default: 4010)")
    parser.add_argument("--application-id", default=os.environ.get("VONAGE_APPLICATION_ID"))
    parser.add_argument("--private-key", help="PEM file of the application's key; its public half is used")
    parser.add_argument("--public-key", help="PEM file")
    parser.add_argument("--secret", default=os.environ.get("VONAGE_SIGNATURE_SECRET"), help="signature secret")
    parser.set_defaults(private_key=os.environ.get("VONAGE_PRIVATE_KEY"), command="serve")
    commands = parser.add_subparsers(dest="command")
    commands.add_parser("serve", help="serve files until Ctrl-C; ids such as sized-204800-x describe themselves")
    call = commands.add_parser("call", help="place one call, then serve what it recorded")
    call.add_argument("flow", choices=FLOWS)
    call.add_argument("--app", required=True, help="base URL of the application, such as http://127.0.0.1:5000")
    call.add_argument("--name", default="demo-room", help="of the conversation")
    call.add_argument("--linger", type=float, default=60.0, help="seconds to serve, at most (default: 60)")
    return parser


def _public_key(options: argparse.Namespace) -> str:
    if options.public_key:
        return Path(options.public_key).read_text()
    key: str = options.private_key
    pem = key.replace("\\n", "\n") if key.lstrip().startswith("-----") else Path(key).read_text()
    return public_pem(pem)


def _run(vonage: PretendVonage, options: argparse.Namespace) -> int:
    print(f"The pretend Vonage serves files at {vonage.origin}; put that into RECORDING_HOSTS.", flush=True)
    if options.command != "call":
        threading.Event().wait()
        return 0
    result = vonage.call_flow(options.app, options.flow, name=options.name)
    _report(result)
    deadline = time.monotonic() + options.linger
    while any(not file.served for file in vonage.files.values()) and time.monotonic() < deadline:
        time.sleep(0.1)
    fetched = sum(bool(file.served) for file in vonage.files.values())
    print(f"{fetched} of {len(vonage.files)} files were fetched.")
    return 0 if result.ok and fetched == len(vonage.files) else 1


def _report(result: CallResult) -> None:
    for complaint in result.complaints:
        print(f"NCCO: {complaint}", file=sys.stderr)
    for recording in result.recordings:
        statuses = ", ".join(str(reply.status or reply.error) for reply in recording.replies) or "sent nowhere"
        print(f"Recording {recording.recording_uuid}: {recording.size} bytes at {recording.url}; event: {statuses}.")


if __name__ == "__main__":
    sys.exit(main())
