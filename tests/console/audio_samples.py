"""What the tests of audio replies share: an object of some mebibytes, its copy's row, and an app that serves it."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime

import pytest
from flask import Flask, request

from backends.local.storage import LocalStorage
from console.audio import audio_response
from plugins.fakes import FakeSource, body
from recordings.model import Copy, Recording, State

MIB = 1024 * 1024
SIZE = 3 * MIB + 17
SMALL = 1000
KEY = "2026/a.mp3"
NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)


def content(size=SIZE):
    return body(1, 0, size)


def copy_of(size=SIZE, **changes):
    fields = {"storage": "file:///tapes", "key": KEY, "state": State.STORED, "size": size, "content_type": "audio/mpeg"}
    fields |= {"sha256": hashlib.sha256(content(size)).hexdigest(), "attempts": 1, "error": None, "stored_at": NOW}
    return Copy(**fields | changes)


def recording_of(*copies, **changes):
    fields = {"application_id": "a", "recording_uuid": "aaaaaaaa-bbbb-cccc-dddd-0123456789ab", "state": State.STORED}
    fields |= {"conversation_uuid": "CON-1", "recording_url": "", "size": None, "start_time": NOW, "end_time": None}
    return Recording(**fields | {"received_at": NOW, "copies": copies} | changes)


class Counted(LocalStorage):
    """Notes every range that is asked of it."""

    def __init__(self, root):
        super().__init__(root)
        self.ranges = []

    def get(self, key, start=0, end=None):
        self.ranges.append((start, end))
        return super().get(key, start, end)


@pytest.fixture
def backend(tmp_path):
    storage = Counted(tmp_path)
    storage.put(KEY, FakeSource(SIZE, seed=1), content_type="application/octet-stream", metadata={})
    storage.put("small", FakeSource(SMALL, seed=1), content_type="application/octet-stream", metadata={})
    return storage


@pytest.fixture
def serve(backend):
    """`serve(copy, **options)`: a client of an app whose `/play` and `/download` serve this copy."""

    def make(copy=None, backend=backend, **options):
        app, copy = Flask("audio"), copy or copy_of()
        app.add_url_rule("/play", "play", lambda: audio_response(backend, copy, request, **options))
        app.add_url_rule(
            "/download", "download", lambda: audio_response(backend, copy, request, file_name="a b.mp3", **options)
        )
        return app.test_client()

    return make


ETAG = f'"{copy_of().sha256}"'


class Stranger:
    """A backend of which only reading is asked; what it does is the test's."""

    def __init__(self, get):
        self.get = get

    def head(self, key):
        return {"size": len(b"".join(self.get(key, 0, None)))}


def raising(error):
    def get(key, start=0, end=None):
        raise error
        yield

    return Stranger(get)
