"""How many signed recording events are durably acknowledged in a second, beside a Flask that does nothing."""

from __future__ import annotations

from typing import NamedTuple

from simulator.application import Gunicorn

from . import machine
from .load import Outcome, send, signed_events
from .stage import Options, like_ours, stage
from .table import Row, compared

CONNECTIONS = 16
ROUNDS, EVENTS = 5, 2000
QUICK_ROUNDS, QUICK_EVENTS = 3, 500
GOAL = 0.4


def run(options: Options) -> tuple[list[Row], list[str]]:
    """Measure both in alternating rounds, with the same requests. SQLite with synchronous=FULL, no worker."""
    rounds, count = (QUICK_ROUNDS, QUICK_EVENTS) if options.quick else (ROUNDS, EVENTS)
    ours: list[_Measured] = []
    theirs: list[_Measured] = []
    with stage(options) as here:
        home = here.fresh("ours")
        with (
            here.application(home, here.settings(home, EMBEDDED_WORKER="false")) as app,
            like_ours("bench.noop:create_app()", {}, here.folder / "noop.log") as noop,
        ):
            _warm_up(app, noop)
            for _ in range(rounds):
                requests = signed_events([here.url(200_000) for _ in range(count)], 200_000)
                ours.append(_measure(app, requests))
                theirs.append(_measure(noop, requests))
    rates = [[measured.outcome.rate for measured in side] for side in (ours, theirs)]
    costs = [_median([measured.cost for measured in side]) for side in (ours, theirs)]
    rows = [
        compared("events acknowledged, beside a Flask no-op", rates[0], rates[1], GOAL),
        Row("processor time for each", f"{costs[0]:.2f} ms", f"{costs[1]:.2f} ms", costs[1] / costs[0]),
    ]
    notes = [
        f"{rounds} rounds of {count} events, {CONNECTIONS} connections, SQLite with synchronous=FULL",
        f"milliseconds p50/p99: ours {_waits(ours)}, no-op {_waits(theirs)}",
        f"the load generator's share of a core: {_busy(ours)} for ours, {_busy(theirs)} for the no-op",
    ]
    return rows, notes


class _Measured(NamedTuple):
    """What came of a round, and milliseconds of the server's processor time for each event."""

    outcome: Outcome
    cost: float


def _measure(server: Gunicorn, requests: list[bytes]) -> _Measured:
    busy = machine.processor_seconds(server.children[0])
    outcome = send(server.port, requests, CONNECTIONS)
    return _Measured(outcome, (machine.processor_seconds(server.children[0]) - busy) / len(requests) * 1000)


def _warm_up(*servers: Gunicorn) -> None:
    for server in servers:
        send(server.port, signed_events(["https://api.nexmo.com/v1/files/warm-up"] * 200, 1), CONNECTIONS)


def _waits(measured: list[_Measured]) -> str:
    return "/".join(f"{_median([round.outcome.percentile(share) for round in measured]):.1f}" for share in (50, 99))


def _busy(measured: list[_Measured]) -> str:
    return f"{_median([round.outcome.busy for round in measured]):.2f}"


def _median(values: list[float]) -> float:
    return sorted(values)[len(values) // 2]
