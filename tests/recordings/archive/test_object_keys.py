"""Which key a copy gets: the pinned one, else a plugin's, else the template's; and whether it must be pinned."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from recordings.archive.object_keys import Key, KeyChoice
from recordings.catalogue.leases import Claim
from recordings.keys import KeyTemplate


class Plugin:
    """A plugin that answers with this key and counts the questions."""

    def __init__(self, key):
        self.key, self.asked = key, 0

    def object_key(self, recording):
        self.asked += 1
        return self.key


@pytest.fixture
def choice(recording):
    """`choice(plugin, pinned)`: the choice for one claim on a copy of the recording r-1."""

    def make(plugin, pinned=None):
        claim = Claim(1, "token", "file:///tapes", 2, recording(), pinned)
        return KeyChoice(claim, KeyTemplate("{recording_uuid}.{ext}"), plugin)

    return make


def test_without_a_plugins_answer_the_template_gives_a_steady_key(choice):
    chosen = choice(Plugin(None))
    assert (chosen.key("mp3"), chosen.key("wav")) == (Key("r-1.mp3", True), Key("r-1.wav", True))


def test_a_plugins_key_must_be_pinned_and_is_asked_for_once(choice):
    plugin = Plugin("mine/r-1.mp3")
    chosen = choice(plugin)
    assert chosen.key("mp3") == chosen.key("wav") == Key("mine/r-1.mp3", False)
    assert plugin.asked == 1


def test_after_an_illegal_answer_the_templates_key_must_be_pinned(choice):
    """At the next attempt the plugin's answer may be legal."""
    assert choice(Plugin("../r-1")).key("mp3") == Key("r-1.mp3", False)


def test_a_pinned_key_stands_and_no_plugin_is_asked(choice):
    plugin = Plugin("mine/r-1.mp3")
    assert choice(plugin, pinned="old/r-1.mp3").key("mp3") == Key("old/r-1.mp3", True)
    assert plugin.asked == 0


def test_plugins_are_asked_for_several_recordings_at_once(choice):
    """One call that hangs keeps no other copy from its key."""
    both = threading.Barrier(2)

    class Waiting(Plugin):
        def object_key(self, recording):
            both.wait(10)
            return self.key

    with ThreadPoolExecutor(2) as pool:
        keys = [pool.submit(choice(Waiting("mine/r-1.mp3")).key, "mp3") for _ in range(2)]
        assert [key.result().text for key in keys] == ["mine/r-1.mp3"] * 2
