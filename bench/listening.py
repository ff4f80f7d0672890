"""How soon a recording is heard, and whether callers wait while many people listen to one web process.

The players run in a process of their own: each seeks somewhere else in a long recording once a second, and
reads what it is given, which is more than playing asks for. Meanwhile Vonage asks for answers at a steady pace.
"""

from __future__ import annotations

import hashlib
import http.client
import json
import multiprocessing
import random
import re
import statistics
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import replace
from typing import Any

from simulator.application import Application
from simulator.delivery import new_session
from simulator.signing import Signer
from tests.services.application import APPLICATION_ID, SIGNATURE_SECRET

from .load import send, signed_events
from .stage import Options, Stage, stage, wait_stored
from .table import Row, at_most, below, compared, spread

PLAYERS = 18
SIZE = 29_000_000  # bytes: two hours of Vonage's mp3
TRIES, QUICK_TRIES = 200, 50
SECONDS, QUICK_SECONDS = 8.0, 3.0  # of one side of one round
ROUNDS, QUICK_ROUNDS = 5, 1
SEEK_SECONDS, ANSWER_SECONDS = 1.0, 0.02  # from one to the next
FIRST_BYTE_GOAL, ANSWER_GOAL = 100.0, 50.0  # milliseconds
PASSWORD = "a password of the benchmark"
AUDIO = "/recordings/1/audio"


def run(options: Options) -> tuple[list[Row], list[str]]:
    """The first byte of audio alone; then answers without and with so many players, in turns.

    One web process, SQLite, a folder.
    """
    quick = (QUICK_TRIES, QUICK_SECONDS, QUICK_ROUNDS)
    tries, seconds, rounds = quick if options.quick else (TRIES, SECONDS, ROUNDS)
    alone: list[list[float]] = []
    listening: list[list[float]] = []
    played = 0
    with stage(options) as here, _deployed(here) as (app, cookie):
        first_bytes = _first_bytes(app.port, cookie, tries)
        for _ in range(rounds):
            alone.append(_answers(app.port, seconds))
            with _players(app.port, cookie) as replies:
                listening.append(_answers(app.port, seconds))
                played += replies()
    return [_first_byte(first_bytes), _while_listening(listening, alone)], [
        f"{tries} random seeks in {SIZE / 1e6:.0f} MB, signed in; a reply is 1 MiB at the most",
        f"{rounds} rounds of {seconds:.0f} s without and with players, answers at {1 / ANSWER_SECONDS:.0f} a second; "
        f"meanwhile {played / seconds / rounds:.0f} replies of audio a second; the slowest answer of all took "
        f"{max(map(max, listening)):.0f} ms",
    ]


def _first_byte(waits: list[float]) -> Row:
    late = _percentile(waits, 95)
    goal = at_most(FIRST_BYTE_GOAL, " ms at p95", late, "the session, the recording and its file are looked up first.")
    return Row("first byte of audio", f"{spread(waits, ' ms')}, p95 {late:.0f} ms", goal=goal)


def _while_listening(listening: list[list[float]], alone: list[list[float]]) -> Row:
    ours, theirs = ([_percentile(waits, 99) for waits in side] for side in (listening, alone))
    row = compared(f"answer to a call while {PLAYERS} players seek, p99", ours, "with no player", theirs, " ms")
    reason = "one process shares its cores with the players and with whoever asks, who run on this machine as well."
    return replace(row, goal=below(ANSWER_GOAL, " ms", statistics.median(ours), reason))


def _percentile(milliseconds: list[float], share: int) -> float:
    return statistics.quantiles(milliseconds, n=100)[share - 1]


@contextmanager
def _deployed(here: Stage) -> Iterator[tuple[Application, str]]:
    """A web process that only serves, with one long recording in its storage; and the cookie of who signed in."""
    home = here.fresh("listening")
    settings = here.settings(home, CONSOLE_PASSWORD=PASSWORD)
    del settings["PUBLIC_URL"]  # the cookie of an https address is not sent over http
    with here.application(home, settings) as archiving:
        send(archiving.port, signed_events([here.url(SIZE)], SIZE), 1)
        wait_stored(home, 1, archiving)
    with here.application(home, settings | {"EMBEDDED_WORKER": "false"}) as app:
        yield app, _sign_in(app.url)


def _sign_in(url: str) -> str:
    with new_session() as session:
        form = session.get(f"{url}/login", timeout=10).text
        token = re.search(r'name="csrf_token" value="([^"]+)"', form)
        fields = {"csrf_token": token[1] if token else "", "name": "admin", "password": PASSWORD}
        session.post(f"{url}/login", fields, timeout=10, allow_redirects=False).raise_for_status()
        return "; ".join(f"{cookie.name}={cookie.value}" for cookie in session.cookies)


# --- Audio -----------------------------------------------------------------------------------------------------------


def _seek(connection: http.client.HTTPConnection, cookie: str, chance: random.Random) -> float:
    """Ask for the audio from anywhere on, and read the reply; milliseconds until its first byte."""
    began = time.perf_counter()
    headers = {"Cookie": cookie, "Range": f"bytes={chance.randrange(SIZE)}-"}
    connection.request("GET", AUDIO, headers=headers)
    reply = connection.getresponse()
    reply.read(1)
    waited = (time.perf_counter() - began) * 1000
    reply.read()
    if reply.status != 206:
        raise RuntimeError(f"A range of the audio was answered {reply.status}.")
    return waited


def _first_bytes(port: int, cookie: str, tries: int) -> list[float]:
    chance = random.Random(0)
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=30)) as connection:
        return [_seek(connection, cookie, chance) for _ in range(tries)]


@contextmanager
def _players(port: int, cookie: str) -> Iterator[Callable[[], int]]:
    """Players that seek until the end of the block, in a process of their own; a function counts their replies."""
    spawn = multiprocessing.get_context("spawn")
    replies = spawn.Value("l", 0)
    ready = spawn.Barrier(2)
    process = spawn.Process(target=_play, args=(port, cookie, replies, ready), daemon=True)
    process.start()
    ready.wait(60)
    first = replies.value
    try:
        yield lambda: replies.value - first
        if not process.is_alive():
            raise RuntimeError("A player was not given its audio; its error stands above.")
    finally:
        process.kill()
        process.join()


def _play(port: int, cookie: str, replies: Any, ready: Any) -> None:
    """All players, each in a thread. Ends when one of them does."""
    ended = threading.Event()
    begun = threading.Barrier(PLAYERS + 1)

    def play(number: int) -> None:
        chance = random.Random(number)
        try:
            with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=30)) as connection:
                _seek(connection, cookie, chance)
                begun.wait()
                while not ended.wait(SEEK_SECONDS * 2 * chance.random()):
                    _seek(connection, cookie, chance)
                    with replies.get_lock():
                        replies.value += 1
        finally:
            ended.set()

    for number in range(PLAYERS):
        threading.Thread(target=play, args=(number,), daemon=True).start()
    begun.wait()
    ready.wait()
    ended.wait()


# --- Answers ---------------------------------------------------------------------------------------------------------


def _answers(port: int, seconds: float) -> list[float]:
    """Milliseconds from when each call was due until its answer, at a steady pace over one connection.

    An answer that is late makes the next call late, and that call's wait counts from when it was due: callers do not
    wait for one another.
    """
    waits: list[float] = []
    signer = Signer(SIGNATURE_SECRET, "a1b2c3d", APPLICATION_ID)
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=30)) as connection:
        began = time.perf_counter()
        while (due := len(waits) * ANSWER_SECONDS) < seconds:
            body, headers = _call(signer)
            time.sleep(max(0.0, began + due - time.perf_counter()))
            _answer(connection, body, headers)
            waits.append((time.perf_counter() - began - due) * 1000)
    return waits


def _call(signer: Signer) -> tuple[bytes, Mapping[str, str]]:
    body = json.dumps({"from": "447700900001", "to": "447700900000", "uuid": str(uuid.uuid4())}).encode()
    authorization = signer.authorization(hashlib.sha256(body).hexdigest(), time.time())
    return body, {"Authorization": authorization or "", "Content-Type": "application/json"}


def _answer(connection: http.client.HTTPConnection, body: bytes, headers: Mapping[str, str]) -> None:
    connection.request("POST", "/webhooks/answer", body, headers)
    reply = connection.getresponse()
    reply.read()
    if reply.status != 200:
        raise RuntimeError(f"A call was answered {reply.status}.")
