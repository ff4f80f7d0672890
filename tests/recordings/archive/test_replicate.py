"""A stored copy as a source: exact reads, and an end that is true. And who may make a copy that was asked for."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recordings.archive import replicate
from recordings.archive.replicate import CopySource, CopyUnreadable
from recordings.catalogue.listing import find
from recordings.errors import LeaseLost
from recordings.model import Copy, State
from recordings.storage import PutResult

NEW = "file:///new"
WHEN = datetime(2026, 11, 22, tzinfo=UTC)


class Pieces:
    """A storage whose `get` gives these pieces, and then raises `error`, if there is one."""

    def __init__(self, pieces, error=None):
        self.pieces, self.error = pieces, error

    def get(self, key, start=0, end=None):
        yield from self.pieces
        if self.error:
            raise self.error


def stored(data):
    return Copy("old", "k", State.STORED, len(data), hashlib.sha256(data).hexdigest(), "audio/mpeg", 1, None, WHEN)


@given(st.lists(st.binary(max_size=40), max_size=8), st.lists(st.integers(0, 50), max_size=20))
def test_reads_are_exact_however_the_store_cuts_its_pieces(pieces, lengths):
    data = b"".join(pieces)
    source = CopySource(Pieces(pieces), stored(data), lambda: False)
    assert source.size == len(data)
    with source.open() as stream:
        got = b""
        for n in lengths:
            part = stream.read(n)
            assert part == data[len(got) : len(got) + n]
            got += part
        assert got + stream.read(-1) == data
        assert stream.read(10) == b""
        assert (stream.received, stream.complete) == (len(data), True)
        assert stream.sha256 == hashlib.sha256(data).hexdigest()


@pytest.mark.parametrize("pieces", [[], [b"good byte"], [b"good bytes", b"and more"], [b"bad bytes!"]])
def test_the_end_is_refused_when_the_bytes_are_not_those_that_were_stored(pieces):
    source = CopySource(Pieces(pieces), stored(b"good bytes"), lambda: False)
    with source.open() as stream, pytest.raises(CopyUnreadable, match="damaged") as caught:
        stream.read()
    assert (caught.value.retryable, stream.complete) == (True, False)


def test_an_error_of_the_old_store_is_the_sources_and_names_it():
    source = CopySource(Pieces([b"good"], OSError("the disk is gone")), stored(b"good bytes"), lambda: False)
    with source.open() as stream:
        assert stream.read(4) == b"good"
        with pytest.raises(CopyUnreadable, match="The copy in old cannot be read: the disk is gone"):
            stream.read(1)


def test_a_lost_lease_ends_the_reading():
    lost = []
    with CopySource(Pieces([b"good ", b"bytes"]), stored(b"good bytes"), lambda: bool(lost)).open() as stream:
        assert stream.read(5) == b"good "
        lost.append(True)
        with pytest.raises(LeaseLost):
            stream.read(5)


@pytest.fixture
def recording_id(new_copy, database):
    new_copy()
    ((found, _),) = replicate.lacking(database, NEW)
    return found


def test_a_copy_is_asked_for_and_made_once(database, leases, recording_id, clock):
    claim = leases.take(recording_id, NEW)
    assert leases.take(recording_id, NEW) is None, "another worker holds it"
    clock.move(61)
    newer = leases.take(recording_id, NEW)
    with pytest.raises(LeaseLost):
        leases.failed(claim, "the worker that was too slow")
    leases.stored(newer, key="k", content_type="audio/mpeg", result=PutResult(1, "0" * 64, True, "u"))
    assert leases.take(recording_id, NEW) is None, "it is stored"
    assert replicate.count_lacking(database, NEW) == 0
    assert list(replicate.lacking(database, NEW)) == []


def test_what_its_taker_forgets_is_due_when_the_lease_is_over(leases, recording_id, clock, due_ids):
    claim = leases.take(recording_id, NEW)
    clock.move(61)
    assert claim.copy_id in due_ids()


def test_what_is_left_to_the_workers_is_due_at_once_and_not_disturbed(database, leases, recording_id, clock, due_ids):
    replicate.leave(database, recording_id, NEW, clock())
    _, recording = next(replicate.lacking(database, NEW))
    (copy,) = [copy for copy in find(database, recording.recording_uuid)[0].copies if copy.storage == NEW]
    assert copy.state is State.PENDING
    copy_id = due_ids()[-1]
    leases.failed(leases.claim(copy_id), "on purpose")
    replicate.leave(database, recording_id, NEW, clock())
    assert replicate.state_of(database, copy_id) == (State.FAILED, "on purpose")


def test_recordings_without_audio_lack_nothing(database, new_copy, intake, delivery, announcement):
    intake.accept(delivery(), [announcement(recording_url="", size=0)])
    assert replicate.count_lacking(database, NEW) == 0


def test_every_page_of_a_long_catalogue_is_looked_through(database, new_copy, monkeypatch):
    monkeypatch.setattr(replicate, "_PAGE", 3)
    for _ in range(8):
        new_copy()
    assert len({row for row, _ in replicate.lacking(database, NEW)}) == 8 == replicate.count_lacking(database, NEW)
