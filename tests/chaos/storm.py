"""Killing: which process, when, and how it comes back. Seeded, so that the same number makes the same choices."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import redis

from tests.chaos.audit import Account, audit
from tests.chaos.caller import Announced, Caller
from tests.chaos.deployment import Child, Deployment, Web, wait_for


@dataclass
class Storm:
    """`kills` kills of a running deployment, some of them of what a gunicorn forked, some of the queue's server.

    `between` is the longest wait between a process's readiness and its end, in seconds.
    """

    deployment: Deployment
    seed: int = 1
    between: float = 0.3
    struck: dict[str, int] = field(default_factory=dict)
    struck_at_work: int = 0  # copies whose worker died over them

    def __post_init__(self) -> None:
        self._chance = random.Random(self.seed)

    def rage(self, kills: int, before_each: Callable[[], None]) -> None:
        """Kill so often, each time something that works, and start it again at once."""
        for _ in range(kills):
            victim = None if self.deployment.redis and self._chance.random() < 0.15 else self._victim()
            before_each()
            time.sleep(self._chance.random() * self.between)
            if victim:
                self._strike(victim)
            else:
                self._strike_redis()

    def finish(self) -> None:
        """Whoever archives is killed once more, and everything comes back: after this, all must be taken up."""
        for child in self.deployment.workers or self.deployment.webs:
            child.kill()
            child.start()
        for child in self.deployment.all:
            child.wait_until_ready()

    def _victim(self) -> Child:
        everybody = list(self.deployment.all)
        while True:
            child = self._chance.choice(everybody)
            with contextlib.suppress(TimeoutError):
                child.wait_until_ready(2)
                return child

    def _strike(self, child: Child) -> None:
        forked = child.children() if isinstance(child, Web) else []
        if forked and self._chance.random() < 0.5:
            self._count(f"{child.name}'s process")
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._chance.choice(forked), signal.SIGKILL)  # its gunicorn forks another
            return
        self._count(child.name)
        child.kill()
        child.start()

    def _strike_redis(self) -> None:
        server = self.deployment.redis
        assert server is not None
        if self._chance.random() < 0.5:
            self._count("redis emptied")
            with redis.Redis.from_url(server.url) as client:
                client.flushall()
            return
        self._count("redis")
        server.stop(signal.SIGKILL)
        time.sleep(self._chance.random())
        server.start()

    def _count(self, what: str) -> None:
        self.struck[what] = self.struck.get(what, 0) + 1


def storm(deployment: Deployment, recordings: int, kills: int, *, seed: int = 1) -> tuple[Account, Announced, Storm]:
    """The whole proof on a running deployment: announce, kill, let it recover, stop it in order, account."""
    urls = [web.url for web in deployment.webs]
    caller = Caller(deployment.files.origin, urls, recordings, seed=seed)
    weather = Storm(deployment, seed)
    share = recordings / max(kills, 1)
    progress = {"allowed": 0.0}

    def more() -> None:
        before = int(progress["allowed"])
        progress["allowed"] += share
        caller.allow(int(progress["allowed"]) - before)

    weather.rage(kills, more)
    weather.finish()
    while not caller.done:  # those that met a dead application were not acknowledged: others take their place
        caller.allow(1)
        time.sleep(0.002)
    caller.close()
    wait_for(
        lambda: not deployment.unfinished(), f"everything is stored; see {deployment.folder}", 120 + recordings / 50
    )
    weather.struck_at_work = deployment.count("attempts > 1")
    deployment.stop()
    return audit(deployment, caller.told), caller.told, weather
