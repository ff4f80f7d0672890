"""`/healthz` and `/readyz`, as a monitor asks them: they answer at once, whatever hangs."""

from __future__ import annotations

import contextlib
import socket
import sqlite3
import threading

import pytest
import requests

TOKEN = "the-token-of-this-year"

# Storages whose check hangs, exits, or says what must not be told to everybody.
STORAGES = """
import threading, time
from pathlib import Path

import pluggy

from backends.local.storage import LocalStorage

hookimpl = pluggy.HookimplMarker("tapekeeper")


class Hangs(LocalStorage):
    @classmethod
    def from_url(cls, url, env):
        storage = cls(Path(url.partition("://")[2]))
        storage.log = Path(env["CHECKS"])
        return storage

    def check(self):
        with self.log.open("a") as lines:
            print("hangs", file=lines)
        while True:
            time.sleep(60)


class Exits(Hangs):
    def check(self):
        raise SystemExit("config missing")


class Tells(Hangs):
    def check(self):
        raise RuntimeError("bucket calls-of-acme: ftp://archiver:S3cretPass@files.example is away")


@hookimpl
def register_storage_backends():
    return {"hangs": Hangs, "exits": Exits, "tells": Tells}
"""


@pytest.fixture
def odd_storages(tmp_path):
    """`odd_storages(*schemes)`: the settings of a deployment with a storage of each of these schemes."""
    (tmp_path / "plugins").mkdir(exist_ok=True)
    (tmp_path / "plugins" / "odd.py").write_text(STORAGES)

    def settings(*schemes):
        urls = [f"{scheme}://{tmp_path}/{number}" for number, scheme in enumerate(schemes)]
        return {"STORAGE_URL": " ".join(urls), "CHECKS": str(tmp_path / "checks"), "API_TOKENS": TOKEN}

    return settings


@pytest.fixture
def looked(until):
    """`looked(client)`: the reply to `/readyz`, to a monitor with the token, once each part was looked at."""

    def ask(client, headers=(("Authorization", f"Bearer {TOKEN}"),)):
        def ended():
            reply = client.get("/readyz", headers=dict(headers))
            return None if "starting" in str(reply.get_json()) or "first time" in str(reply.get_json()) else reply

        return until(ended, "each part was looked at")

    return ask


def test_all_is_well(deploy, looked):
    assert deploy().client.get("/healthz").get_json() == {"status": "ok"}
    deployment = deploy()
    deployment.wiring.workers.sign()
    reply = looked(deployment.client)
    assert (reply.status_code, reply.get_json()) == (200, {"status": "ok", "problems": {}})


def test_a_fresh_process_is_ready_and_says_that_no_worker_was_seen_yet(deploy, looked):
    reply = looked(deploy(API_TOKENS=TOKEN).client)
    assert (reply.status_code, reply.get_json()["status"]) == (200, "ok")
    assert reply.get_json()["warnings"]["worker"].startswith("No worker was seen yet.")


def test_the_first_request_is_answered_before_anything_was_looked_at(deploy, odd_storages):
    reply = deploy(**odd_storages("hangs")).client.get("/readyz")  # it would hang with the storage
    assert (reply.status_code, reply.get_json()["status"]) == (503, "starting")


def test_a_database_that_cannot_be_used_is_named(deploy, looked, tmp_path):
    (tmp_path / "folder.db").mkdir()
    client = deploy(DATABASE_URL=f"sqlite:///{tmp_path}/folder.db").client
    reply = looked(client)
    assert reply.status_code == 503
    assert reply.get_json()["status"] == "unusable"
    assert list(reply.get_json()["problems"]) == ["database"]
    assert client.get("/healthz").status_code == 200  # the process itself is alive


def test_a_database_that_can_be_read_and_not_written_is_named(deploy, looked, tmp_path):
    deployment = deploy(API_TOKENS=TOKEN)
    deployment.announce()
    deployment.close()
    with contextlib.closing(sqlite3.connect(tmp_path / "tapekeeper.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        problems = looked(deploy(API_TOKENS=TOKEN).client).get_json()["problems"]
    assert list(problems) == ["database"]
    assert "locked" in problems["database"]


def test_of_several_storages_each_speaks_for_itself_with_its_mend(deploy, looked, tmp_path):
    (tmp_path / "b").write_text("a file where a folder belongs")
    urls = f"file://{tmp_path}/a file://{tmp_path}/b"
    problems = looked(deploy(STORAGE_URL=urls, API_TOKENS=TOKEN).client).get_json()["problems"]
    assert list(problems) == ["storage 2"]
    assert "move it away" in problems["storage 2"]


@pytest.mark.parametrize("header", [None, "Bearer wrong", "Basic x"])
def test_strangers_see_the_names_of_parts_and_nothing_else(deploy, odd_storages, looked, header):
    client = deploy(**odd_storages("tells", "exits")).client
    reply = looked(client, [("Authorization", header)] if header else [])
    assert list(reply.get_json()["problems"]) == ["storage 1", "storage 2"]
    for secret in ("acme", "files.example", "S3cretPass", "config missing"):
        assert secret not in reply.get_data(as_text=True)


def test_a_monitor_with_the_token_sees_what_is_wrong_but_no_password(deploy, odd_storages, looked, caplog, until):
    problems = looked(deploy(**odd_storages("tells", "exits")).client).get_json()["problems"]
    assert "bucket calls-of-acme" in problems["storage 1"]
    assert "The plugin 'odd'" in problems["storage 2"]
    assert "broke off in check: SystemExit: config missing" in problems["storage 2"]
    until(lambda: caplog.text.count("bucket calls-of-acme") == 1, "the log has it, too")
    assert "S3cretPass" not in str(problems) + caplog.text


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
def test_no_secret_is_told(deploy, path, key_pem):
    deployment = deploy()
    text = deployment.client.get(path).get_data(as_text=True)
    assert deployment.wiring.settings.vonage_signature_secret[0] not in text
    assert key_pem.splitlines()[1] not in text


def test_while_every_part_hangs_and_probes_hang_up_the_app_answers_within_a_second(
    make_gunicorn, odd_storages, until, tmp_path
):
    gunicorn = make_gunicorn(tmp_path, **odd_storages("hangs", "hangs")).start()
    address = gunicorn.url.removeprefix("http://").split(":")
    with contextlib.closing(sqlite3.connect(tmp_path / "tapekeeper.db", isolation_level=None, timeout=30)) as other:
        other.execute("BEGIN IMMEDIATE")
        for _ in range(20):
            with socket.create_connection((address[0], int(address[1]))) as probe:
                probe.sendall(b"GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n")
                threading.Event().wait(0.02)
        slowest = 0.0
        for path in ("readyz", "healthz", "webhooks/answer") * 5:
            with requests.get(f"{gunicorn.url}/{path}", timeout=5) as reply:
                assert reply.status_code in (200, 503)
                slowest = max(slowest, reply.elapsed.total_seconds())
        assert slowest < 1

    def seen():
        headers = {"Authorization": f"Bearer {TOKEN}"}
        with requests.get(f"{gunicorn.url}/readyz", timeout=5, headers=headers) as reply:
            problems = reply.json()["problems"]
        return all("does not answer" in problems.get(f"storage {number}", "") for number in (1, 2))

    until(seen, "the hanging checks are a problem")
    assert (tmp_path / "checks").read_text().split() == ["hangs"] * 2  # not started again while they hang
