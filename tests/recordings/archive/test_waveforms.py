"""A recording that was archived gets its waveform, by itself, from any copy that can be read, and in nobody's way."""

from __future__ import annotations

import logging
import threading
import time

import pytest

from backends.local.storage import LocalStorage
from recordings.archive.decoder import Decoder
from recordings.archive.waveforms import WaveformMaker
from recordings.catalogue.listing import last_row
from recordings.catalogue.waveforms import Waveforms, measured
from recordings.engine.supervisor import Supervisor
from recordings.errors import StorageUnavailable
from recordings.timeouts import TimeLimit

OTHER = "file:///other-tapes"


@pytest.fixture
def make_maker(desk, clock):
    """`make_maker(**options)`: a maker over the desk's storages, each with threads of its own."""
    made = []

    def make(**options):
        supervisor = Supervisor()
        table = Waveforms(desk.database, clock=clock)
        maker = WaveformMaker(table, desk.storages, supervisor.start, **options)
        made.append((maker, supervisor))
        return maker

    yield make
    for maker, supervisor in made:
        maker.stop()
        supervisor.stop(10)


def measured_of(desk, event):
    return measured(desk.database, last_row(desk.database, event.recording_uuid))


def working():
    return any(thread.name == "tapekeeper-waveforms" for thread in threading.enumerate())


def archived(desk, **words):
    """A recording that was archived."""
    event, copy_ids = desk.announce(desk.vonage.add_file(**words))
    desk.run(copy_ids)
    return event


@pytest.mark.parametrize("audio_format", ["mp3", "ogg", "wav"])
@pytest.mark.parametrize("channels", [1, 2])
def test_what_was_archived_is_measured(desk, make_maker, audio_format, channels):
    event = archived(desk, format=audio_format, channels=channels)
    maker = make_maker()
    assert maker.make_next()
    waveform = measured_of(desk, event).waveform
    assert (waveform.channels, waveform.sample_rate) == (channels, 16_000)
    assert 4 < waveform.seconds < 9
    assert not maker.make_next()


def test_it_happens_by_itself_in_a_thread_that_ends(desk, make_maker, until):
    events = [archived(desk) for _ in range(3)]
    maker = make_maker()
    maker.start()
    maker.start()  # the thread runs already
    until(lambda: all(measured_of(desk, event).waveform for event in events), "three waveforms")
    until(lambda: not working(), "the thread's end")


def test_what_is_no_audio_is_marked_so_and_said_once(desk, make_maker, clock, caplog):
    caplog.set_level(logging.INFO)
    event = archived(desk, content=b"\xff\xfb" + bytes(5000))
    maker = make_maker()
    for _ in range(3):
        maker.make_next()
        clock.move(24 * 3600)
    assert "cannot be decoded" in measured_of(desk, event).error
    assert [record.levelname for record in caplog.records if "No waveform" in record.message] == ["WARNING"]


class Fails(LocalStorage):
    """A store from which nothing can be read."""

    def get(self, key, start=0, end=None):
        raise StorageUnavailable("The store is away.")


def test_a_store_that_is_away_is_tried_again_later_and_all_rests_meanwhile(desk, make_maker, clock, until):
    events, now = [archived(desk) for _ in range(3)], [0.0]
    desk.storage = Fails(desk.folder)
    threads = []
    maker = make_maker(ticks=lambda: now[0])
    for _ in range(3):
        maker.start()
        while thread := next((t for t in threading.enumerate() if t.name == "tapekeeper-waveforms"), None):
            thread.join(10)
        threads.append([measured_of(desk, event).error for event in events].count(None))
    assert threads == [2, 2, 2], "one attempt, and then a rest"
    desk.storage = LocalStorage(desk.folder)
    now[0] += 60
    assert [maker.make_next() for _ in range(3)] == [True, True, False]
    clock.move(15 * 60)
    assert maker.make_next()
    assert all(measured_of(desk, event).waveform for event in events)


def test_a_copy_that_cannot_be_read_leaves_it_to_the_next_one(desk, make_maker, tmp_path):
    desk.storages[OTHER] = LocalStorage(tmp_path / "other")
    event = archived(desk)
    (audio,) = desk.folder.rglob("*.mp3")
    audio.unlink()
    assert make_maker().make_next()
    assert measured_of(desk, event).waveform


class Hangs(LocalStorage):
    """A store that answers when the test allows it."""

    answers = threading.Event()

    def get(self, key, start=0, end=None):
        self.answers.wait(30)
        return super().get(key, start, end)


def test_a_store_that_hangs_is_given_up_on(desk, make_maker):
    event = archived(desk)
    desk.storage = Hangs(desk.folder)
    assert not make_maker(store_limit=TimeLimit(0.1)).make_next()
    Hangs.answers.set()
    assert measured_of(desk, event).error == "file:///tapes did not give the audio: it took longer than 0.1 s."


def test_the_end_of_the_worker_breaks_it_off_and_does_not_count(desk, make_maker, until):
    event = archived(desk)
    started = threading.Event()

    class Slow(LocalStorage):
        def get(self, key, start=0, end=None):
            started.set()
            while True:
                yield bytes(1)
                time.sleep(0.01)

    desk.storage = Slow(desk.folder)
    maker = make_maker(store_limit=TimeLimit(0.5))
    maker.start()
    assert started.wait(10)
    maker.stop()
    until(lambda: not working(), "the thread's end")
    assert measured_of(desk, event).error is None
    desk.storage = LocalStorage(desk.folder)
    assert make_maker().make_next()
    assert measured_of(desk, event).waveform


def test_archiving_does_not_wait_for_it(desk, make_maker):
    archived(desk)
    hung = threading.Event()
    desk.storage = LocalStorage(desk.folder)

    class Waits(Decoder):
        def waveform(self, size, fetch):
            hung.set()
            stop.wait(30)
            return super().waveform(size, fetch)

    stop = threading.Event()
    maker = make_maker(decoder=Waits())
    maker.start()
    assert hung.wait(10)
    assert desk.find(archived(desk)).state == "stored"
    stop.set()


def test_a_store_of_a_stranger_may_give_pieces_of_any_size(desk, make_maker):
    event = archived(desk)

    class Crumbs(LocalStorage):
        def get(self, key, start=0, end=None):
            whole = b"".join(super().get(key, start, end))
            return (whole[i : i + 997] for i in range(0, len(whole), 997))

    desk.storage = Crumbs(desk.folder)
    assert make_maker().make_next()
    assert measured_of(desk, event).waveform.seconds > 4
