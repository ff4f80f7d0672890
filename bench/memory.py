"""How much a long recording adds to the archiving process's peak memory."""

from __future__ import annotations

from pathlib import Path

from simulator.application import Application
from simulator.shelf import sized_file

from . import machine
from .load import send, signed_events
from .rivals import sdk
from .stage import Options, Stage, stage, wait_stored
from .table import Row

MIB = 1024 * 1024
GOAL = 16 * MIB
SIZE, QUICK = 500 * MIB, 100 * MIB
SMALL = 200_000


def run(options: Options) -> tuple[list[Row], list[str]]:
    """One recording through gunicorn, the webhook, the worker, the local store and SQLite, after a small one."""
    size = QUICK if options.quick else SIZE
    with stage(options) as here:
        grown, seconds = _ours(here, size)
        theirs = sdk(here, here.fresh("sdk"), [here.url(size)], 1)
    row = Row(
        f"peak memory that a recording of {size // MIB} MiB adds",
        _mib(grown),
        _mib(theirs.grown),
        None,
        f"<= {GOAL // MIB} MiB",
        grown <= GOAL,
    )
    notes = [
        f"ours: the gunicorn worker that also serves, event to verified in {seconds:.1f} s, SHA-256 compared",
        f"theirs: the SDK's download_recording in {theirs.seconds:.1f} s, nothing checked",
    ]
    return [row], notes


def _ours(here: Stage, size: int) -> tuple[int, float]:
    home = here.fresh("ours")
    settings = here.settings(home)
    with here.application(home, settings) as server:
        _archive(here, home, server, SMALL, 1)
        (serving,) = server.children
        machine.forget_peak(serving)
        before = machine.peak(serving)
        url, seconds = _archive(here, home, server, size, 2)
        grown = machine.peak(serving) - before
    _compare(here, settings, url, size)
    return grown, seconds


def _archive(here: Stage, home: Path, server: Application, size: int, count: int) -> tuple[str, float]:
    url = here.url(size)
    sent = send(server.port, signed_events([url], size), 1)
    done = wait_stored(home, count, server)
    return url, done - sent.began


def _compare(here: Stage, settings: dict[str, str], url: str, size: int) -> None:
    file = sized_file(url.rpartition("/")[2].partition("?")[0])
    recordings = here.listed(settings)
    digests = [copy["sha256"] for recording in recordings for copy in recording["copies"] if copy["size"] == size]
    if file is None or digests != [file.sha256]:
        raise RuntimeError(f"The archive holds {digests} and not what the pretend Vonage served.")


def _mib(size: int) -> str:
    return f"{size / MIB:.1f} MiB"
