"""While another process holds the database, callers are answered at once and events are asked for again in time."""

from __future__ import annotations

import sqlite3
import threading
from contextlib import closing
from dataclasses import dataclass, field

import pytest
import requests

from tests.chaos.slow_clients import feel

SECONDS = 12.0


@dataclass
class Burst:
    """Events at a steady rate, whether or not the earlier ones were answered: the statuses and the seconds."""

    url: str
    statuses: set[object] = field(default_factory=set)
    seconds: list[float] = field(default_factory=list)

    def send(self) -> None:
        body = {"status": "ringing", "uuid": "u-1", "conversation_uuid": "CON-1"}
        try:
            reply = requests.post(f"{self.url}/webhooks/events", json=body, timeout=15)
        except requests.RequestException as error:
            self.statuses.add(type(error).__name__)
            return
        self.statuses.add(reply.status_code)
        self.seconds.append(reply.elapsed.total_seconds())

    def run(self, rate: float, seconds: float) -> None:
        pause, threads = threading.Event(), []
        for _ in range(int(rate * seconds)):
            threads.append(threading.Thread(target=self.send))
            threads[-1].start()
            pause.wait(1 / rate)
        for thread in threads:
            thread.join()


@pytest.fixture(scope="module")
def running(deploy):
    return deploy(ALLOW_UNSIGNED_WEBHOOKS="true", VONAGE_SIGNATURE_SECRET="")


def test_answers_and_events_while_another_process_holds_the_database(running):
    gunicorn, archive = running
    gunicorn.start()
    burst = Burst(gunicorn.url)

    def answer():
        return requests.get(f"{gunicorn.url}/webhooks/answer?uuid=u-1", timeout=15).status_code

    def page():
        return requests.get(f"{gunicorn.url}/healthz", timeout=15).status_code

    flood = threading.Thread(target=burst.run, args=(10, SECONDS))
    with closing(sqlite3.connect(archive.folder / "tapekeeper.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        flood.start()
        felt = feel(answer, page, SECONDS)
        other.rollback()
    flood.join()
    assert felt.statuses["answer 200"] == len(felt.answers)
    assert felt.answers_p99 < 1, felt
    assert burst.statuses <= {204, 503}, burst.statuses
    assert 503 in burst.statuses
    assert max(burst.seconds) < 10
    burst.send()
    assert 204 in burst.statuses
