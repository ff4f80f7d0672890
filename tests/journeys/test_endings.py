"""What was acknowledged survives every way in which the application can end, and is archived once."""

from __future__ import annotations

import contextlib
import signal
import socket
import threading
import time
from urllib.parse import urlsplit

import pytest

from recordings.catalogue.listing import last_row


@pytest.fixture(scope="module")
def terminated(deploy, vonage, post, until):
    """A deployment that got SIGTERM in the middle of a fetch. Running copies get 20 s, which other tests may use."""
    gunicorn, archive = deploy()
    file = vonage.add_file(size=160_000, faults=["drip:3"])
    recording_uuid = post(gunicorn.start(), file)
    until(lambda: file.requests, "the fetch is under way")
    ended, begun = [], time.monotonic()
    watch = threading.Thread(target=lambda: ended.append((gunicorn.wait(40), time.monotonic() - begun)))
    gunicorn.signal(signal.SIGTERM)
    watch.start()

    def wait():
        watch.join(45)
        return ended[0]

    yield gunicorn, archive, recording_uuid, file, wait
    watch.join(45)


def test_kill_9_between_the_204_and_the_archive(deploy, vonage, post, until, terminated):
    gunicorn, archive = deploy()
    file = vonage.add_file(faults=["hang"])
    recording_uuid = post(gunicorn.start(), file)
    until(lambda: file.requests, "the fetch is under way")
    gunicorn.kill()
    assert archive.find(recording_uuid).state == "fetching"
    assert archive.files_of(recording_uuid) == set()
    gunicorn.start()
    archive.wait_stored(recording_uuid, file)
    assert file.requests == 2


def test_kill_9_right_after_the_204(deploy, vonage, post):
    gunicorn, archive = deploy(EMBEDDED_WORKER="false")
    file = vonage.add_file()
    recording_uuid = post(gunicorn.start(), file)
    gunicorn.kill()
    assert archive.find(recording_uuid).state == "pending"
    gunicorn.env |= {"EMBEDDED_WORKER": "true"}
    gunicorn.start()
    archive.wait_stored(recording_uuid, file)
    assert file.requests == 1
    _ends_at_once(gunicorn)  # there is no work any more


def test_sigterm_in_the_middle_of_a_fetch_ends_in_time_and_the_next_start_completes_it(terminated):
    gunicorn, archive, recording_uuid, file, wait = terminated
    status, seconds = wait()
    assert status == 0
    assert seconds < 25
    assert archive.find(recording_uuid).state == "pending"  # given back, not left to its lease
    assert archive.find(recording_uuid).copies[0].attempts == 0
    assert archive.files_of(recording_uuid) == set()
    assert "Traceback" not in gunicorn.log.read_text()
    gunicorn.start()
    archive.wait_stored(recording_uuid, file)


def test_half_a_request_does_not_delay_the_end(deploy):
    gunicorn, _ = deploy()
    parts = urlsplit(gunicorn.start().url)
    with socket.create_connection((parts.hostname, parts.port), timeout=20) as client:
        client.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n" + b"POST /webhooks/events HTTP/1.1\r\nX-a: ")
        assert client.recv(4096).startswith(b"HTTP/1.1 200")
        begun = time.monotonic()
        gunicorn.signal(signal.SIGTERM)
        assert gunicorn.wait() == 0
        assert time.monotonic() - begun < 6


def test_a_listener_who_hardly_reads_takes_no_time_from_the_copies_in_work(deploy, vonage, post, until):
    """As Heroku ends a process: SIGKILL 30 s after SIGTERM. gunicorn waits for replies until its own time is over."""
    gunicorn, archive = deploy(LEASE_SECONDS="60")
    heard, hanging = vonage.add_file(size=20_000_000), vonage.add_file(size=160_000, faults=["drip:3"])
    row_id = last_row(archive.database, archive.wait_stored(post(gunicorn.start(), heard), heard).recording_uuid)
    recording_uuid = post(gunicorn, hanging)
    until(lambda: hanging.requests, "the fetch is under way")
    with listening(gunicorn, row_id) as listener:
        gunicorn.signal(signal.SIGTERM)
        assert gunicorn.wait(30) == 0
        assert listener.recv(64) != b"", "it was answered until the end"
    assert archive.find(recording_uuid).state == "pending"  # given back, not left to a lease of a minute
    assert archive.find(recording_uuid).copies[0].attempts == 0
    assert archive.files_of(recording_uuid) == set()
    assert "Traceback" not in gunicorn.log.read_text()
    assert "Stopped; nothing that was acknowledged is lost." in gunicorn.output()


@contextlib.contextmanager
def listening(gunicorn, row_id):
    """A connection on which a download has begun; nobody reads on."""
    made = gunicorn.flask("tokens", "add", "player", "--role", "listener")
    assert made.returncode == 0, made.stderr
    parts = urlsplit(gunicorn.url)
    head = f"GET /api/recordings/{row_id}/download HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {made.stdout.strip()}"
    with socket.create_connection((parts.hostname, parts.port), timeout=20) as client:
        client.sendall(f"{head}\r\n\r\n".encode())
        assert client.recv(64).startswith(b"HTTP/1.1 200")
        yield client


def _ends_at_once(gunicorn):
    begun = time.monotonic()
    gunicorn.signal(signal.SIGTERM)
    assert gunicorn.wait() == 0
    assert time.monotonic() - begun < 10
    assert "Traceback" not in gunicorn.log.read_text()
