"""Stores that say one thing and do another: a copy counts as stored only when all answers agree with the bytes."""

from __future__ import annotations

import hashlib
from types import SimpleNamespace

import pytest

from recordings.catalogue.tables import copies
from recordings.model import State


class NotThere(Exception):
    retryable = False


NotThere.__name__ = "ObjectNotFound"  # a stranger's own class: its name is the contract


class Memory:
    """An honest store in a dictionary, written without a single import of ours. Others lie by overriding a part."""

    def __init__(self):
        self.objects = {}
        self.puts = 0

    def put(self, key, source, *, content_type, metadata):
        self.puts += 1
        created = key not in self.objects
        if created:
            with source.open() as stream:
                self.objects[key] = (self.take(stream), content_type, dict(metadata))
        return self.answer(key, created)

    def take(self, stream):
        return b"".join(iter(lambda: stream.read(10_000), b""))

    def answer(self, key, created):
        content = self.objects[key][0]
        sha256 = hashlib.sha256(content).hexdigest()
        return {"size": len(content), "sha256": sha256, "created": created, "uri": f"memory:{key}"}

    def head(self, key):
        if key not in self.objects:
            raise NotThere(key)
        content, content_type, metadata = self.objects[key]
        return {"size": len(content), "content_type": content_type, "checksums": {}, "metadata": metadata}

    def get(self, key, start=0, end=None):
        yield self.objects[key][0][start:end]

    def close(self):
        pass


def audio_only(lie):
    """A method that lies about audio and is honest about sidecars."""

    def method(self, key, *args):
        honest = getattr(super(type(self), self), lie.__name__)(key, *args)
        return honest if key.endswith(".json") else lie(self, key, honest)

    return method


class Forgetful(Memory):
    def answer(self, key, created):
        answer = super().answer(key, created)
        self.objects.pop(key)
        return answer


class WrongSize(Memory):
    @audio_only
    def answer(self, key, answer):
        return answer | {"size": answer["size"] - 1}


class WrongDigest(Memory):
    @audio_only
    def answer(self, key, answer):
        return answer | {"sha256": "00" * 32}


class WrongHeadSize(Memory):
    @audio_only
    def head(self, key, answer):
        return answer | {"size": answer["size"] + 1}


class WrongHeadDigest(Memory):
    @audio_only
    def head(self, key, answer):
        return answer | {"checksums": {"sha256": "00" * 32}}


class NeverReads(Memory):
    def put(self, key, source, *, content_type, metadata):
        self.objects[key] = (b"", content_type, dict(metadata))
        return {"size": source.size, "sha256": None, "created": True, "uri": key}


class OpensOnly(Memory):
    def take(self, stream):
        return b""


class Half(Memory):
    def take(self, stream):
        return stream.read(stream.size // 2)


class Flipped(Memory):
    def take(self, stream):
        return super().take(stream)[:-1] + b"?"


class ClaimsThatItWasThere(Memory):
    def put(self, key, source, *, content_type, metadata):
        return {"size": source.size, "sha256": None, "created": False, "uri": key}


class WithoutSize(Memory):
    @audio_only
    def answer(self, key, answer):
        return {name: value for name, value in answer.items() if name != "size"}


class Nothing(Memory):
    def answer(self, key, created):
        return None


class HeadWithoutSize(Memory):
    @audio_only
    def head(self, key, answer):
        return {}


LIARS = [
    (Forgetful, "knew no such object"),
    (WrongSize, "bytes, the store said"),
    (WrongDigest, "SHA-256"),
    (WrongHeadSize, "then"),
    (WrongHeadDigest, "SHA-256"),
    (NeverReads, "never opened the source"),
    (OpensOnly, "did not read the source to its end"),
    (Half, "did not read the source to its end"),
    (Flipped, "SHA-256"),
    (ClaimsThatItWasThere, "never opened the source"),
    (WithoutSize, "'size'"),
    (Nothing, "lacks"),
    (HeadWithoutSize, "'size'"),
]


@pytest.mark.parametrize(("liar", "message"), LIARS, ids=lambda value: getattr(value, "__name__", ""))
def test_a_store_that_lies_is_not_believed(desk, vonage, liar, message):
    desk.storage = liar()
    event, ids = desk.announce(vonage.add_file())
    desk.run(ids)
    (copy,) = desk.find(event).copies
    assert copy.state is State.WAITING
    assert message in copy.error
    assert (copy.sha256, copy.stored_at, desk.hooks.stored) == (None, None, [])


class Babble(Exception):
    retryable = True  # so it was foreseen, and no traceback is logged


class Babbling(Memory):
    """Its exceptions say what no database, no page and no terminal can hold, and very much of it."""

    def put(self, key, source, *, content_type, metadata):
        raise Babble("a\x00b half \ud800 \x1b]0;title\x07 " + "x" * 1_000_000)


def test_whatever_a_store_says_at_a_failure_its_attempt_is_noted(desk, vonage):
    desk.storage = Babbling()
    (copy,) = desk.archive(vonage.add_file()).copies
    assert (copy.state, copy.attempts) == (State.WAITING, 1)
    assert copy.error.startswith("a\ufffdb half \ufffd ")
    assert copy.error.isprintable()
    assert len(copy.error) < 3000


class OddAddress(Memory):
    """Its addresses are what no database can hold, or no text at all."""

    uri = None

    @audio_only
    def answer(self, key, answer):
        return answer | {"uri": self.uri}


@pytest.mark.parametrize("uri", [None, 7, b"memory:\xff", "memory:\ud800", "memory:\x00", "memory:" + "x" * 100_000])
def test_whatever_address_a_store_tells_the_copy_is_stored(desk, vonage, rows, uri):
    desk.storage = OddAddress()
    desk.storage.uri = uri
    desk.archive(vonage.add_file())
    (copy,) = rows(copies)
    assert (copy["state"], copy["uri"]) == ("stored", copy["key"])


class AsObjects(Memory):
    """Answers with objects in place of mappings."""

    def answer(self, key, created):
        return SimpleNamespace(**super().answer(key, created))

    def head(self, key):
        return SimpleNamespace(**super().head(key))


class FewWords(Memory):
    """Says no more than it must."""

    def answer(self, key, created):
        return {"size": super().answer(key, created)["size"], "created": created}

    def head(self, key):
        return {"size": super().head(key)["size"]}


class BySize(Memory):
    """Reads just as many bytes as were promised, as some SDKs do, and never asks whether that was all."""

    def take(self, stream):
        return stream.read(stream.size)


class MissingAsFile(Memory):
    def head(self, key):
        if key not in self.objects:
            raise FileNotFoundError(key)
        return super().head(key)


@pytest.mark.parametrize("honest", [Memory, AsObjects, FewWords, BySize, MissingAsFile])
def test_an_honest_store_is_believed_in_its_own_words(desk, vonage, honest):
    desk.storage = honest()
    file = vonage.add_file()
    event, ids = desk.announce(file, format="mp3")
    desk.run(ids)
    (copy,) = desk.find(event).copies
    assert (copy.state, copy.size, copy.sha256) == (State.STORED, file.size, file.sha256)
    assert desk.storage.objects[copy.key][0] == file.content
    assert desk.storage.objects[copy.key][1] == "audio/mpeg"
    assert desk.storage.objects[copy.key][2]["recording_uuid"] == event.recording_uuid


@pytest.mark.parametrize("honest", [Memory, AsObjects, FewWords, MissingAsFile])
def test_what_was_there_before_is_settled_in_its_own_words(desk, vonage, honest):
    desk.storage = honest()
    file = vonage.add_file()
    event, ids = desk.announce(file)
    desk.storage.objects[desk.key(event)] = (file.content, "audio/mpeg", {"recording_uuid": event.recording_uuid})
    desk.run(ids)
    (copy,) = desk.find(event).copies
    assert (copy.state, copy.sha256) == (State.STORED, file.sha256)
    assert file.requests <= 2


class Raises(Memory):
    def __init__(self, error):
        super().__init__()
        self.error = error

    def put(self, key, source, *, content_type, metadata):
        raise self.error


class Shy(Exception):
    def __init__(self, **attributes):
        super().__init__("the bucket is shy")
        self.__dict__.update(attributes)


@pytest.mark.parametrize(
    ("error", "state"),
    [
        (Shy(), State.WAITING),
        (Shy(retryable=False), State.FAILED),
        (Shy(blocked=True), State.BLOCKED),
        (OSError(28, "No space left on device"), State.WAITING),
        (AssertionError("never"), State.WAITING),
    ],
    ids=str,
)
def test_a_strangers_error_decides_by_its_attributes(desk, vonage, error, state):
    desk.storage = Raises(error)
    event, ids = desk.announce(vonage.add_file())
    desk.run(ids)
    recording = desk.find(event)
    assert recording.state is state
    assert str(error) in recording.copies[0].error
    ((of_hook, copy, given, will_retry),) = desk.hooks.failed
    assert (of_hook, copy, will_retry) == (recording, recording.copies[0], state is not State.FAILED)
    assert (type(given), str(given), given.__traceback__, given.__cause__) == (type(error), str(error), None, None)
    for name in ("retryable", "blocked"):
        assert getattr(given, name, None) is getattr(error, name, None)


def test_a_source_error_that_a_store_wraps_is_the_stores_own(desk, vonage):
    class Wraps(Memory):
        def take(self, stream):
            try:
                return super().take(stream)
            except Exception as error:
                raise Shy(retryable=True) from error

    desk.storage = Wraps()
    file = vonage.add_file(size=300_000, faults=["truncated"])
    event, ids = desk.announce(file)
    desk.run(ids)
    assert desk.find(event).state is State.WAITING
    assert desk.storage.objects == {}
