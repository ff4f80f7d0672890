"""How fast a recording of 500 MiB gets to disk, and what memory that takes, beside curl and the official SDK."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from simulator.application import Application
from simulator.shelf import sized_file

from . import machine
from .load import send, signed_events
from .rivals import sdk
from .stage import LeftOut, Options, Stage, stage, wait_stored
from .table import Row, at_most, compared, spread

MIB = 1024 * 1024
SIZE, QUICK_SIZE = 500 * MIB, 100 * MIB
ROUNDS, QUICK_ROUNDS = 7, 2
SMALL = 200_000
SPEED_GOAL, MEMORY_GOAL = 0.8, 16.0
PLAIN = 'exec curl --silent --show-error --fail --header @- --output "$1" "$2"'
CHECKED = 'curl --silent --show-error --fail --header @- --output "$1" "$2" && sync "$1" && sha256sum "$1"'


@dataclass(frozen=True)
class Cost:
    """Seconds, and MiB of memory: of ours and the SDK what was added to the peak, of curl its whole peak."""

    seconds: float
    memory: float = 0.0


def run(options: Options) -> tuple[list[Row], list[str]]:
    """One recording at a time, in alternating rounds, after a small one has warmed everything up."""
    size, rounds = (QUICK_SIZE, QUICK_ROUNDS) if options.quick else (SIZE, ROUNDS)
    costs: list[tuple[Cost, Cost, Cost, Cost]] = []
    if not shutil.which("curl"):
        raise LeftOut("curl is not installed: apt-get install curl")
    with stage(options) as here:
        home = here.fresh("ours")
        with here.application(home, here.settings(home)) as server:
            _archive(here, home, server, SMALL, 1)
            for count in range(2, 2 + rounds):
                ours = _ours(here, home, server, size, count)
                costs.append((ours, _curl(here, PLAIN, size), _curl(here, CHECKED, size), _sdk(here, size)))
    return _rows(size, *zip(*costs, strict=True)), [
        f"{rounds} rounds, one download at a time from the pretend Vonage; ours goes through gunicorn, webhook, "
        "worker, local store and SQLite, event to verified, with SHA-256 and fsync",
        "memory: what the recording adds to the gunicorn worker that also serves, and to the SDK's process; of curl "
        "its whole peak",
    ]


def _rows(
    size: int, ours: Sequence[Cost], plain: Sequence[Cost], checked: Sequence[Cost], theirs: Sequence[Cost]
) -> list[Row]:
    """Speed beside all three, then memory beside two of them."""
    reason = "ours also takes the event in, looks for the object beforehand and writes a sidecar and the catalogue."
    title = f"{size // MIB} MiB to disk"
    mine, curl, same, other = ([size / MIB / cost.seconds for cost in side] for side in (ours, plain, checked, theirs))
    added, peaks, sdks = ([cost.memory for cost in side] for side in (ours, plain, theirs))
    goal = at_most(MEMORY_GOAL, " MiB", max(added))
    return [
        compared(title, mine, "curl, fsync and sha256sum", same, " MiB/s", least=SPEED_GOAL, reason=reason),
        compared(title, mine, "curl alone, no fsync", curl, " MiB/s"),
        compared(title, mine, "vonage-voice, no fsync", other, " MiB/s"),
        Row("peak memory", spread(added, " MiB"), "curl", spread(peaks, " MiB"), None, goal),
        Row("peak memory", spread(added, " MiB"), "vonage-voice", spread(sdks, " MiB")),
    ]


def _ours(here: Stage, home: Path, server: Application, size: int, count: int) -> Cost:
    (serving,) = server.children
    machine.forget_peak(serving)
    before = machine.peak(serving)
    url, seconds = _archive(here, home, server, size, count)
    grown = machine.peak(serving) - before
    _compare(here, server, url, size)
    return Cost(seconds, grown / MIB)


def _archive(here: Stage, home: Path, server: Application, size: int, count: int) -> tuple[str, float]:
    url = here.url(size)
    sent = send(server.port, signed_events([url], size), 1)
    done = wait_stored(home, count, server)
    return url, done - sent.began


def _compare(here: Stage, server: Application, url: str, size: int) -> None:
    """The archive holds what the pretend Vonage served; the file itself goes, to leave the disk to the next."""
    file = sized_file(url.rpartition("/")[2].partition("?")[0])
    copies = [copy for recording in server.list_recordings() for copy in recording["copies"] if copy["size"] == size]
    if file is None or file.sha256 not in [copy["sha256"] for copy in copies]:
        raise RuntimeError("The archive does not hold what the pretend Vonage served.")
    for path in here.folder.glob("ours-*/recordings/**/*.mp3"):
        path.unlink()


def _curl(here: Stage, script: str, size: int) -> Cost:
    target, peak = here.folder / "curl.mp3", 0
    began = time.perf_counter()
    command = ["sh", "-c", script, "sh", str(target), here.url(size)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True) as curl:
        assert curl.stdin is not None
        curl.stdin.write(f"Authorization: Bearer {here.token()}\n")
        curl.stdin.close()
        while curl.poll() is None:
            with suppress(OSError, RuntimeError):  # it may have ended meanwhile
                peak = max(peak, machine.peak(curl.pid))
            time.sleep(0.005)
    seconds = time.perf_counter() - began
    if curl.returncode or target.stat().st_size != size:
        raise RuntimeError(f"curl ended with {curl.returncode} and left no file of {size:,} bytes.")
    target.unlink()
    return Cost(seconds, peak / MIB)


def _sdk(here: Stage, size: int) -> Cost:
    folder = here.fresh("sdk")
    done = sdk(here, folder, [here.url(size)], 1)
    for path in folder.iterdir():
        path.unlink()
    return Cost(done.seconds, done.grown / MIB)
