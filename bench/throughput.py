"""How many recordings of 200 KB are archived in a second, from event to verified, beside the SDK's plain download."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from simulator.application import Application

from . import machine
from .load import send, signed_events
from .rivals import check, sdk
from .stage import Options, Stage, asking, stage, wait_stored
from .table import Row, compared, spread

SIZE = 200_000
THREADS = 8
ROUNDS, FILES = 5, 300
QUICK_ROUNDS, QUICK_FILES = 1, 60
GOAL = 10
SDK = "vonage-voice"
SHARED = "ours shares the cores with the pretend Vonage and whoever sends; the rows of processor time leave those out."
# Each way, and what bounds it.
WAYS = {
    "archived from event to verified, web and worker": SHARED,
    "the same, both in one process": "a process of Python uses one core, and this one takes the events in as well: the "
    "rate times the processor time for each is a whole core.",
    "the same, events accepted beforehand": SHARED,
}


def run(options: Options) -> tuple[list[Row], list[str]]:
    """Measure both in alternating rounds: the same URLs at the same pretend Vonage, eight transfers at once."""
    rounds, count = (QUICK_ROUNDS, QUICK_FILES) if options.quick else (ROUNDS, FILES)
    ours: list[list[_Measured]] = [[] for _ in WAYS]
    theirs: list[_Measured] = []
    with stage(options) as here:
        ceiling = [_ceiling(here, count)]
        for _ in range(rounds):
            urls = [here.url(SIZE) for _ in range(count)]
            theirs.append(_sdk(here, urls))
            for way, measure in zip(ours, (_web_and_worker, _lone_process, _fetch_alone), strict=True):
                way.append(measure(here, urls))
        ceiling.append(_ceiling(here, count))
    rows = [_rates(what, mine, theirs) for what, mine in zip(WAYS, ours, strict=True)]
    rows += [_costs(what, mine, theirs) for what, mine in zip(WAYS, ours, strict=True)]
    return rows, [
        f"{rounds} rounds of {count} recordings of {SIZE:,} bytes, {THREADS} at once, local store and SQLite",
        f"{SDK}: download_recording in {THREADS} threads: no event, no checksum, no fsync",
        f"the pretend Vonage can serve {spread(ceiling, ' files a second')}",
    ]


class _Measured(NamedTuple):
    """Recordings a second, and milliseconds of processor time for each: noise from other processes hits that less."""

    rate: float
    cost: float


def _rates(what: str, ours: Sequence[_Measured], theirs: Sequence[_Measured]) -> Row:
    rates = [[measured.rate for measured in side] for side in (ours, theirs)]
    return compared(what, rates[0], SDK, rates[1], "/s", least=GOAL, reason=WAYS[what])


def _costs(what: str, ours: Sequence[_Measured], theirs: Sequence[_Measured]) -> Row:
    costs = [[measured.cost for measured in side] for side in (ours, theirs)]
    return compared(f"processor time for each: {what}", costs[0], SDK, costs[1], " ms")


def _sdk(here: Stage, urls: Sequence[str]) -> _Measured:
    folder = here.fresh("sdk")
    done = sdk(here, folder, urls, THREADS)
    check(folder, len(urls), SIZE)
    return _Measured(len(urls) / done.seconds, done.busy / len(urls) * 1000)


def _web_and_worker(here: Stage, urls: Sequence[str]) -> _Measured:
    """As the Procfile deploys it: one process that takes events in, one that archives."""
    home = here.fresh("apart")
    settings = here.settings(home, WORKER_THREADS=str(THREADS), EMBEDDED_WORKER="false")
    with here.application(home, settings) as server, here.worker(home, settings) as worker:
        measured = _from_event(here, urls, home, server, [*server.children, worker.pid])
    _verify(here, settings, 1 + len(urls))
    return measured


def _lone_process(here: Stage, urls: Sequence[str]) -> _Measured:
    """One gunicorn with the worker in it, as it starts without any setting."""
    home = here.fresh("lone")
    settings = here.settings(home, WORKER_THREADS=str(THREADS))
    with here.application(home, settings) as server:
        measured = _from_event(here, urls, home, server, server.children)
    _verify(here, settings, 1 + len(urls))
    return measured


def _from_event(here: Stage, urls: Sequence[str], home: Path, server: Application, pids: Sequence[int]) -> _Measured:
    """From the first event sent until the last copy is stored, once a first recording has warmed everything up."""
    send(server.port, signed_events([here.url(SIZE)], SIZE), 1)
    wait_stored(home, 1, server)
    busy = machine.processor_seconds(*pids)
    sent = send(server.port, signed_events(urls, SIZE), THREADS)
    done = wait_stored(home, 1 + len(urls), server)
    busy = machine.processor_seconds(*pids) - busy
    return _Measured(len(urls) / (done - sent.began), busy / len(urls) * 1000)


def _fetch_alone(here: Stage, urls: Sequence[str]) -> _Measured:
    """`flask worker` on a catalogue that was filled before; neither its start nor its first copies are counted."""
    home = here.fresh("worker")
    settings = here.settings(home, WORKER_THREADS=str(THREADS), EMBEDDED_WORKER="false")
    with here.application(home, settings) as server:
        send(server.port, signed_events(urls, SIZE), THREADS)
    with here.worker(home, settings) as worker, asking(home) as stored:
        began = wait_stored(home, 1, worker)
        first, busy = stored(), machine.processor_seconds(worker.pid)
        done = wait_stored(home, len(urls), worker)
        busy = machine.processor_seconds(worker.pid) - busy
    _verify(here, settings, len(urls))
    rest = len(urls) - first
    return _Measured(rest / (done - began), busy / rest * 1000)


def _verify(here: Stage, settings: dict[str, str], count: int) -> None:
    states = [recording["state"] for recording in here.listed(settings)]
    if states != ["stored"] * count:
        raise RuntimeError(f"{states.count('stored')} of {count} recordings are stored.")


def _ceiling(here: Stage, count: int) -> float:
    """The same files fetched by the load generator, which looks at nothing."""
    paths = [here.url(SIZE).removeprefix(here.vonage) for _ in range(count)]
    head = f"HTTP/1.1\r\nHost: bench.example.com\r\nAuthorization: Bearer {here.token()}\r\n\r\n"
    port, requests = int(here.vonage.rpartition(":")[2]), [f"GET {path} {head}".encode() for path in paths]
    return send(port, requests, THREADS, expected="200").rate
