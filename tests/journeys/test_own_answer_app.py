"""Somebody's own application answers the calls, with the NCCOs of docs/vonage.md; the recordings come here."""

from __future__ import annotations

import json

import pytest

from settings import ROOT
from simulator.loopback import ServerThread
from tests.docs.pages import sources

NCCOS = sources((ROOT / "docs/vonage.md").read_text(), "json")


@pytest.fixture(scope="module")
def deployment(deploy):
    gunicorn, archive = deploy()
    return gunicorn.start(), archive


@pytest.fixture
def answering():
    """`answering(ncco)`: the answer URL of an application that knows nothing of ours. To events it says nothing."""
    servers = []

    def start(ncco):
        def app(environ, start_response):
            body = json.dumps(ncco).encode() if environ["PATH_INFO"] == "/answer" else b""
            start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
            return [body]

        servers.append(ServerThread(app))
        servers[-1].start()
        return servers[-1].origin

    yield start
    for server in servers:
        server.close()


@pytest.mark.parametrize("text", NCCOS)
@pytest.mark.parametrize("events_come_here", [True, False])
def test_a_call_that_another_application_answers_is_archived(deployment, answering, vonage, text, events_come_here):
    gunicorn, archive = deployment
    own = answering(json.loads(text.replace("https://calls.example.com", gunicorn.url)))
    event_url = f"{gunicorn.url}/webhooks/events" if events_come_here else f"{own}/events"
    result = vonage.place_call(f"{own}/answer", event_url=event_url)
    assert result.complaints == []
    (made,) = result.recordings
    recording = archive.wait_stored(made.recording_uuid, made.file)
    assert recording.from_ == ("447700900001" if events_come_here else None)
