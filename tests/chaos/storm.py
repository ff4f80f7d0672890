"""Killing: which process, when, and how it comes back. The same seed makes the same choices."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from simulator.application import Application, Process
from simulator.processes import TooLate, wait_for
from tests.chaos.audit import Account, audit
from tests.chaos.caller import Announced, Caller
from tests.chaos.deployment import LISTENING, Deployment


@dataclass
class Storm:
    """Kills processes of a running deployment, some of them forked by a gunicorn; on Postgres it cuts connections, too.

    `between` is the longest wait between a process's readiness and its end, in seconds. `struck` counts what was hit.
    """

    deployment: Deployment
    seed: int = 1
    between: float = 0.3
    struck: dict[str, int] = field(default_factory=dict)
    struck_at_work: int = 0  # copies whose worker was killed while it had them

    def __post_init__(self) -> None:
        self._chance = random.Random(self.seed)

    def rage(self, kills: int, before_each: Callable[[], None]) -> None:
        """Kill so many times: each time a process that is running, which is started again at once."""
        for _ in range(kills):
            victim = None if self.deployment.postgres and self._chance.random() < 0.15 else self._victim()
            before_each()
            time.sleep(self._chance.random() * self.between)
            if victim:
                self._kill(victim)
            else:
                self._cut_connections()

    def finish(self) -> None:
        """Kill every process that archives once more, and start it again: after this, all copies must be stored."""
        for process in self.deployment.workers or self.deployment.webs:
            process.kill()
            process.spawn()
        for process in self.deployment.all:
            process.wait_until_ready()

    def _victim(self) -> Process:
        while True:
            process = self._chance.choice(self.deployment.all)
            with contextlib.suppress(TooLate):
                process.wait_until_ready(2)
                return process

    def _kill(self, process: Process) -> None:
        forked = process.children if isinstance(process, Application) else []
        if forked and self._chance.random() < 0.5:
            self._count(f"a process of {process.log.stem}")
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._chance.choice(forked), signal.SIGKILL)  # its gunicorn forks another
            return
        self._count(process.log.stem)
        process.kill()
        process.spawn()

    def _cut_connections(self) -> None:
        """Postgres ends connections, as a failover does: those that listen for work, or all of them."""
        if self._chance.random() < 0.5:
            self._count("listening connections")
            self.deployment.cut_connections(LISTENING)
        else:
            self._count("all connections")
            self.deployment.cut_connections()

    def _count(self, what: str) -> None:
        self.struck[what] = self.struck.get(what, 0) + 1


def storm(deployment: Deployment, recordings: int, kills: int, *, seed: int = 1) -> tuple[Account, Announced, Storm]:
    """The whole proof on a running deployment: announce, kill, let it recover, stop it in order, account."""
    urls = [web.url for web in deployment.webs]
    caller = Caller(deployment.files.url, urls, recordings, seed=seed)
    weather = Storm(deployment, seed)
    share = recordings / max(kills, 1)
    progress = {"allowed": 0.0}

    def more() -> None:
        before = int(progress["allowed"])
        progress["allowed"] += share
        caller.allow(int(progress["allowed"]) - before)

    weather.rage(kills, more)
    weather.finish()
    while not caller.done:  # events that met a dead application were not acknowledged: new ones take their place
        caller.allow(1)
        time.sleep(0.002)
    caller.close()
    wait_for(
        lambda: not deployment.unfinished(), f"everything is stored; see {deployment.folder}", 120 + recordings / 50
    )
    weather.struck_at_work = deployment.count("attempts > 1")
    deployment.stop()
    return audit(deployment, caller.announced), caller.announced, weather
