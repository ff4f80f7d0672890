"""How many signed recording events are durably acknowledged in a second, beside a Flask that does nothing."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import NamedTuple

from simulator.application import Gunicorn

from . import machine
from .load import Outcome, send, signed_events
from .stage import Options, like_ours, stage
from .table import Row, compared

CONNECTIONS = 16
ROUNDS, EVENTS = 9, 2000
QUICK_ROUNDS, QUICK_EVENTS = 3, 500
GOAL = 0.4
NOOP = "Flask no-op"


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
    return _rows(ours, theirs), [
        f"{rounds} rounds of {count} events, {CONNECTIONS} connections, SQLite with synchronous=FULL",
        "the no-op reads nothing, checks nothing and stores nothing; the same gunicorn serves it",
        f"the load generator takes {_busy(ours):.0%} of a core for ours, {_busy(theirs):.0%} for the no-op",
    ]


class _Measured(NamedTuple):
    """What came of a round, and milliseconds of the server's processor time for each event."""

    outcome: Outcome
    cost: float


def _rows(ours: Sequence[_Measured], theirs: Sequence[_Measured]) -> list[Row]:
    rates, costs = ([[pick(measured) for measured in side] for side in (ours, theirs)] for pick in (_rate, _cost))
    rows = [
        compared(
            "events acknowledged",
            rates[0],
            NOOP,
            rates[1],
            "/s",
            least=GOAL,
            reason="each event is verified, parsed and committed with an fsync: that takes processor time and waits "
            "for the disk, and the no-op does neither.",
        ),
        compared("processor time for each event", costs[0], NOOP, costs[1], " ms"),
    ]
    for share in (50, 99):
        waits = [[measured.outcome.percentile(share) for measured in side] for side in (ours, theirs)]
        rows.append(compared(f"from request to answer, p{share} of a round", waits[0], NOOP, waits[1], " ms"))
    return rows


def _rate(measured: _Measured) -> float:
    return measured.outcome.rate


def _cost(measured: _Measured) -> float:
    return measured.cost


def _measure(server: Gunicorn, requests: list[bytes]) -> _Measured:
    busy = machine.processor_seconds(server.children[0])
    outcome = send(server.port, requests, CONNECTIONS)
    return _Measured(outcome, (machine.processor_seconds(server.children[0]) - busy) / len(requests) * 1000)


def _warm_up(*servers: Gunicorn) -> None:
    for server in servers:
        send(server.port, signed_events(["https://api.nexmo.com/v1/files/warm-up"] * 200, 1), CONNECTIONS)


def _busy(measured: Sequence[_Measured]) -> float:
    return statistics.median(round.outcome.busy for round in measured)
