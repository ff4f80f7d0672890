"""A stored copy as a source: exact reads, and an end that is true."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recordings.archive.sources import CopySource, CopyUnreadable
from recordings.errors import LeaseLost
from recordings.model import Copy, State

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
