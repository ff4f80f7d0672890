"""The token and the key are reached neither from an error nor from the stream that a store gets."""

from __future__ import annotations

import contextlib
import traceback

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from recordings.archive.credentials import load_private_key
from recordings.archive.failures import plain
from recordings.archive.fetch import Fetcher
from recordings.archive.hosts import HostRule
from recordings.archive.sources import RecordingSource
from recordings.errors import SourceUnavailable

LEVELS = 3


def reachable(value, levels=LEVELS, seen=None):
    """The text of everything that is reached from this value by attributes, items and closures."""
    seen = {} if seen is None else seen
    if seen.get(id(value), -1) >= levels:
        return
    seen[id(value)] = levels
    if isinstance(value, (str, bytes)):
        yield value if isinstance(value, str) else value.decode("latin-1")
        return
    with contextlib.suppress(Exception):
        yield repr(value)
    if levels:
        for inner in children(value):
            yield from reachable(inner, levels - 1, seen)


def children(value):
    if isinstance(value, dict):
        return [*value.keys(), *value.values()]
    if isinstance(value, (list, tuple, set, frozenset)):
        return list(value)
    inner = list(getattr(value, "__dict__", {}).values()) if not isinstance(value, type) else []
    if hasattr(value, "items"):  # headers
        inner += [text for pair in list(value.items()) for text in pair]
    inner += [getattr(value, name) for name in ("__self__", "_next") if getattr(value, name, None) is not None]
    for cell in getattr(value, "__closure__", None) or ():
        with contextlib.suppress(ValueError):
            inner.append(cell.cell_contents)
    return inner


def all_of_error(error):
    """The same from an error, its causes and contexts: also by variables of frames, the test's own excepted."""
    while error is not None:
        yield from reachable(error)
        for frame, _ in traceback.walk_tb(error.__traceback__):
            if "/tests/" not in frame.f_code.co_filename:
                for variable in frame.f_locals.values():
                    yield from reachable(variable)
        error = error.__cause__ or error.__context__


FAULTS = [
    *("reset", "truncated", "truncated-chunked", "hang", "404", "401", "429:7", "500", "503"),
    *("html", "empty", "gzip", "redirect-stranger", "redirect:http://["),
]


@pytest.fixture
def fetcher(vonage, token):
    return Fetcher(HostRule.parse([vonage.origin]), token.mint, timeouts=(1, 0.3))


@pytest.mark.parametrize("fault", FAULTS)
def test_no_error_leads_to_the_token(vonage, fetcher, recording, fault):
    file = vonage.add_file(size=300_000, faults=[fault] * 4)
    source = RecordingSource(fetcher, recording(recording_url=file.url, size=file.size), lambda: False)
    with pytest.raises(Exception, match=r"\w") as caught, source, source.open() as stream:
        stream.read()
    assert file.authorizations
    assert not leaks(all_of_error(caught.value), file)
    assert (caught.value.__cause__, caught.value.__context__) == (None, None)


def test_too_many_redirects_lead_to_no_token(vonage, fetcher):
    file = vonage.add_file(faults=["redirect"] * 4)
    with pytest.raises(SourceUnavailable) as caught:
        fetcher.open(file.url)
    assert not leaks(all_of_error(caught.value), file)


def test_nobody_there_leads_to_no_token(vonage, fetcher):
    file = vonage.add_file()
    vonage.close()
    with pytest.raises(SourceUnavailable) as caught:
        fetcher.open(file.url)
    assert not leaks(all_of_error(caught.value), file)


def test_a_document_that_is_none_leads_to_no_token(vonage, fetcher):
    file = vonage.add_file(b"no JSON")
    with pytest.raises(SourceUnavailable) as caught:
        fetcher.document(file.url)
    assert not leaks(all_of_error(caught.value), file)


@pytest.mark.parametrize("fault", [None, "chunked", "redirect"])
def test_what_a_store_gets_does_not_lead_to_the_token(vonage, fetcher, recording, fault):
    file = vonage.add_file(faults=[fault] if fault else [])
    with RecordingSource(fetcher, recording(recording_url=file.url), lambda: False) as source:
        source.look()
        assert not leaks(reachable(source), file)
        with source.open() as stream:
            assert not leaks(reachable(stream, 6), file)
            while stream.read(4096):
                pass
            assert not leaks(reachable(stream, 6), file)


def leaks(texts, file):
    secrets = ["Bearer", *(authorization.removeprefix("Bearer ") for authorization in file.authorizations)]
    return [text[:200] for text in texts if any(secret in text for secret in secrets)]


def test_the_walk_finds_what_lies_in_a_request(vonage, fetcher):
    file = vonage.add_file()
    audio = fetcher.open(file.url)
    audio.reply = {"request": {"headers": {"Authorization": file.authorizations[0]}}}
    assert leaks(reachable(audio, 4), file)
    audio.close()


def test_a_key_that_cannot_be_read_is_in_no_frame(rsa_key):
    pem = rsa_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    body = pem.splitlines()[10]
    with pytest.raises(ValueError, match="not a whole PEM") as caught:
        load_private_key(pem.replace("BEGIN PRIVATE", "BEGIN RSA PRIVATE"))
    assert not [text for text in all_of_error(caught.value) if body in text]


# --- What plugins are given -------------------------------------------------------------------------------------------


class Odd(Exception):
    """An error of a store's own, made with other arguments than a message."""

    def __init__(self, code, *, reply):
        super().__init__(code)
        self.reply = reply
        self.retryable = False


@pytest.mark.parametrize(
    "error",
    [SourceUnavailable("slow down", retry_after=7), Odd(17, reply="Bearer x"), OSError(28, "full"), KeyError("k")],
    ids=repr,
)
def test_plugins_get_the_same_error_without_what_hangs_on_it(error):
    try:
        try:
            raise RuntimeError("Bearer cause")
        except RuntimeError as cause:
            raise error from cause
    except Exception as raised:
        given = plain(raised)
    assert str(given) == str(error) or isinstance(error, KeyError)
    assert (given.__traceback__, given.__cause__, given.__context__) == (None, None, None)
    assert getattr(given, "retry_after", None) == getattr(error, "retry_after", None)
    assert getattr(given, "retryable", True) == getattr(error, "retryable", True)
    assert not any("Bearer" in text for text in all_of_error(given))
