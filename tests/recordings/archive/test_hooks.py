"""Plugins that hang hold up no worker: a key is waited for a moment, and a notice not at all."""

from __future__ import annotations

import dataclasses
import threading

import pytest

from recordings.archive.hooks import LimitedHooks
from recordings.background import BackgroundWriter
from recordings.model import Call, State
from recordings.timeouts import NoAnswer, TimeLimit


class Plugins:
    """Hooks that note the calls; those that `hangs` names wait for the test's end."""

    def __init__(self):
        self.hangs = set()
        self.error = None
        self.calls = []
        self.end = threading.Event()

    def listens(self, hook):
        return True

    def object_key(self, recording):
        self._call("object_key", recording)
        return f"mine/{recording.recording_uuid}.mp3"

    def recording_stored(self, recording, copy):
        self._call("recording_stored", recording)

    def recording_failed(self, recording, copy, error, will_retry):
        self._call("recording_failed", recording)

    def recording_missing(self, call):
        self._call("recording_missing", call)

    def _call(self, hook, subject):
        if hook in self.hangs:
            self.end.wait()
        self.calls.append((hook, subject))
        if self.error:
            raise self.error


class Full:
    """A background thread for which too much waits already."""

    def add(self, call):
        return False


@pytest.fixture
def plugins():
    plugins = Plugins()
    yield plugins
    plugins.end.set()


@pytest.fixture
def background():
    def start(name, run):
        thread = threading.Thread(target=run, name=name, daemon=True)
        thread.start()
        return thread

    writer = BackgroundWriter("hooks", lambda call: call(), start, loss="a plugin is not told", limit=3)
    yield writer
    writer.close()


@pytest.fixture
def hooks(plugins, background):
    return LimitedHooks(plugins, background, keys=TimeLimit(0.1), notices=TimeLimit(0.1, 2))


def test_notices_come_in_their_order_and_not_in_the_workers_thread(hooks, plugins, background, recording):
    hooks.recording_stored(recording(), None)
    hooks.recording_failed(recording(), None, ValueError("x"), True)
    hooks.recording_missing(Call("CON-1", None, None, None, "call"))
    assert background.wait(10)
    assert [hook for hook, _ in plugins.calls] == ["recording_stored", "recording_failed", "recording_missing"]


def test_a_notice_that_hangs_holds_up_neither_the_worker_nor_the_next(hooks, plugins, background, recording, caplog):
    plugins.hangs = {"recording_stored"}
    hooks.recording_stored(recording(), None)
    hooks.recording_failed(recording(), None, ValueError("x"), True)
    assert background.wait(10)
    assert [hook for hook, _ in plugins.calls] == ["recording_failed"]
    assert "hangs in recording_stored for r-1: it took longer than 0.1 s" in caplog.text


@pytest.mark.parametrize("error", [ValueError("bad plugin"), SystemExit("config missing")])
def test_a_plugin_that_breaks_off_holds_up_nothing(hooks, plugins, background, recording, caplog, error):
    plugins.error = error
    for _ in range(2):
        hooks.recording_stored(recording(), None)
    assert background.wait(10)
    assert len(plugins.calls) == 2
    assert "broke off for r-1" in caplog.text


def test_what_is_dropped_is_said(plugins, recording, caplog):
    LimitedHooks(plugins, Full()).recording_stored(recording(), None)
    assert plugins.calls == []
    assert "No plugin's recording_stored is called for r-1" in caplog.text


def test_a_key_is_waited_for_a_moment(hooks, plugins, recording):
    assert hooks.object_key(recording()) == "mine/r-1.mp3"
    plugins.hangs = {"object_key"}
    with pytest.raises(NoAnswer):
        hooks.object_key(recording())


def test_a_key_that_does_not_come_is_the_templates_and_stays_it(desk, vonage, hooks, plugins, caplog):
    plugins.hangs = {"object_key"}
    retrieval = dataclasses.replace(desk.retrieval, hooks=hooks)
    event, (copy_id,) = desk.announce(vonage.add_file(size=300_000, faults=["truncated"]))
    retrieval.archive(desk.leases.claim(copy_id))
    plugins.hangs = set()
    desk.clock.move(3600)
    retrieval.archive(desk.leases.claim(copy_id))
    (copy,) = desk.find(event).copies
    assert (copy.state, copy.key) == (State.STORED, desk.key(event))
    assert "The template's is used" in caplog.text
