"""The demo's parts: the application as a child that always ends, and a watch that believes only bytes."""

from __future__ import annotations

import os
import socket
import sys
import textwrap
from dataclasses import dataclass, field
from typing import Any

import pytest
import requests

from simulator import demo
from simulator.application import Application, Checkout
from simulator.processes import ApplicationError, free_port
from simulator.results import MadeRecording, Reply, SentEvent

WSGI = """
import os, click
from flask import Flask

def create_app():
    app = Flask("tiny")
    app.get("/healthz")(lambda: os.environ.get("GREETING", "") + os.environ.get("DATABASE_URL", ""))
    recordings = click.Group("recordings")
    app.cli.add_command(recordings)

    @recordings.command("list")
    @click.option("--json", "as_json", is_flag=True)
    def listing(as_json):
        print(os.environ["LISTING"])

    return app
"""


@pytest.fixture
def tiny(tmp_path):
    """Makes an application out of a few lines of wsgi.py."""

    def make(wsgi=WSGI, **settings):
        (tmp_path / "wsgi.py").write_text(textwrap.dedent(wsgi))
        (tmp_path / "gunicorn.conf.py").write_text("control_socket_disable = True")
        return Application(settings, tmp_path / "log", checkout=Checkout(tmp_path))

    return make


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a bound port is refused to its own server too")
def test_a_free_port_is_nobody_elses_until_its_own_server_takes_it():
    port = free_port()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port))
    with socket.socket() as another, pytest.raises(OSError, match="in use"):  # no server's SO_REUSEADDR
        another.bind(("127.0.0.1", port))
    for _ in ("the start", "the start after a crash"):
        with socket.create_server(("127.0.0.1", port)), socket.create_connection(("127.0.0.1", port)):
            pass


def test_the_application_runs_with_its_settings_alone_and_ends(tiny, monkeypatch):
    monkeypatch.setenv("DATABASE_URL", "postgres://somebody's-own")
    with tiny(GREETING="hello") as running:
        running.wait_until_ready()
        with requests.Session() as session:
            session.trust_env = False
            assert session.get(f"{running.url}/healthz", timeout=5).text == "hello"
        child = running.pid
    with pytest.raises(ProcessLookupError):
        os.kill(child, 0)


def test_an_application_that_dies_shows_the_end_of_its_log(tiny):
    with (
        tiny("raise RuntimeError('no settings today')") as running,
        pytest.raises(ApplicationError, match="no settings"),
    ):
        running.wait_until_ready()


def test_the_listing_is_read_line_by_line(tiny):
    application = tiny(LISTING='{"recording_uuid": "1"}\n\n{"recording_uuid": "2"}')
    assert [entry["recording_uuid"] for entry in application.list_recordings()] == ["1", "2"]


@pytest.mark.parametrize(("settings", "words"), [({}, "failed"), ({"LISTING": "Hello"}, "not JSON")])
def test_a_listing_that_fails_is_an_error_of_one_sentence(tiny, settings, words):
    with pytest.raises(ApplicationError, match=words):
        tiny(**settings).list_recordings()


@dataclass
class Listing:
    """An application of which only the listing is asked."""

    entries: list[dict[str, Any]] = field(default_factory=list)

    def list_recordings(self):
        return self.entries


@pytest.fixture
def made(vonage):
    file = vonage.add_file()
    event = SentEvent("http://127.0.0.1/", {}, (Reply(204, None, 1_800_000_000.0, 1_800_000_000.1),))
    return {"one": ("voicemail", MadeRecording("one", "CON-1", {}, file, event))}


def entry(state="stored", **copy):
    copy = {"key": "a/one.mp3", "stored_at": "2027-01-15T08:00:02.500+00:00", "error": None, **copy}
    return {"recording_uuid": "one", "state": state, "copies": [copy]}


def test_a_stored_recording_is_read_back_and_timed(made, tmp_path):
    content = made["one"][1].file.content
    (tmp_path / "a").mkdir()
    (tmp_path / "a/one.mp3").write_bytes(content)
    (archived,) = demo.watch(Listing([entry()]), made, tmp_path)
    assert archived.seconds == pytest.approx(2.5)
    assert archived.sha256 == made["one"][1].sha256
    assert archived.row() == ("voicemail", "one", "one.mp3", f"{len(content):,}", archived.sha256[:16], "2.50")


def test_other_bytes_are_noticed(made, tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a/one.mp3").write_bytes(made["one"][1].file.content[:-1])
    with pytest.raises(demo.DemoFailure, match="does not hold the bytes"):
        demo.watch(Listing([entry()]), made, tmp_path)


def test_a_file_that_is_only_said_to_be_there_is_noticed(made, tmp_path):
    with pytest.raises(demo.DemoFailure, match="cannot be read: No such file"):
        demo.watch(Listing([entry()]), made, tmp_path)


@pytest.mark.parametrize(
    ("entries", "words"),
    [
        ([], "recording one is not in the catalogue"),
        ([entry("waiting", error="Vonage answered 404.")], r"recording one is waiting \(Vonage answered 404.\)"),
    ],
)
def test_what_does_not_arrive_is_named(made, tmp_path, entries, words):
    with pytest.raises(demo.DemoFailure, match=words):
        demo.watch(Listing(entries), made, tmp_path, patience=0)


def test_calls_that_nobody_answers_fail_with_a_sentence(vonage):
    with pytest.raises(demo.DemoFailure, match=r"flow voicemail went wrong: an event to .* was answered Connection"):
        demo.place_calls(vonage, f"http://127.0.0.1:{free_port()}")
