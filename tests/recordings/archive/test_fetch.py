"""The authorised, checked audio stream, against a pretend Vonage that behaves, and one that does not."""

from __future__ import annotations

import contextlib
import hashlib
import http.server
import threading

import pytest

from recordings.archive.credentials import ApplicationToken
from recordings.archive.fetch import Fetcher
from recordings.archive.hosts import HostRule
from recordings.errors import LeaseLost, NotAudio, SourceDenied, SourceMissing, SourceTruncated, SourceUnavailable

CHUNKS = (1, 7, 4096, 1 << 20, -1)


@pytest.fixture
def fetcher(vonage, token):
    return Fetcher(HostRule.parse([vonage.origin]), token.mint)


@pytest.fixture
def hasty(vonage, token):
    """A fetcher that waits 0.2 s for the next byte."""
    return Fetcher(HostRule.parse([vonage.origin]), token.mint, timeouts=(1, 0.2))


BODY = b"OggS\0" + bytes(1000)


@contextlib.contextmanager
def _serving(headers=()):
    """A server for what the pretend Vonage cannot send; its origin, and the paths that it was asked for."""
    asked = []

    class Media(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            self.send_response(200)
            for name, value in {**dict(headers), "Content-Length": str(len(BODY))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(BODY)

        def log_message(self, *words):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Media) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", asked
        server.shutdown()


def read_all(audio, n=1 << 20):
    pieces = []
    while piece := audio.read(n):
        pieces.append(piece)
    return b"".join(pieces)


# --- All is well ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", CHUNKS)
@pytest.mark.parametrize("fault", [None, "chunked", "close-delimited", "drip:0.001"])
def test_every_byte_comes_counted_and_digested(vonage, fetcher, n, fault):
    content = None if n != 1 else b"\xff\xfb" + b"short"
    file = vonage.add_file(content, faults=[fault] if fault else [])
    with fetcher.open(file.url, file.size) as audio:
        assert (audio.kind.format, audio.content_type) == ("mp3", "audio/mpeg")
        assert audio.size == (None if fault in ("chunked", "close-delimited") else file.size)
        assert audio.received == 0
        assert read_all(audio, n) == file.content
        assert audio.read(10) == b""
        assert (audio.received, audio.sha256, audio.complete) == (file.size, file.sha256, True)


def test_a_read_gives_exactly_what_was_asked_for_until_the_end(vonage, fetcher):
    file = vonage.add_file(size=100_000, faults=["drip:0.001"])
    with fetcher.open(file.url, file.size) as audio:
        lengths = []
        while piece := audio.read(7_000):
            lengths.append(len(piece))
    assert lengths == [7_000] * 14 + [2_000]


def test_reading_nothing_reads_nothing(vonage, fetcher):
    file = vonage.add_file()
    with fetcher.open(file.url, file.size) as audio:
        assert audio.read(0) == b""
        assert audio.read(10) == file.content[:10]


@pytest.mark.parametrize(("format", "channels"), [("mp3", 2), ("wav", 2), ("ogg", 1)])
def test_the_bytes_tell_the_format_whatever_the_header_says(vonage, fetcher, format, channels):
    file = vonage.add_file(format=format, channels=channels, content_type="application/octet-stream")
    with fetcher.open(file.url, file.size) as audio:
        assert audio.kind.format == format


def test_unknown_audio_is_taken_as_it_is(vonage, fetcher):
    file = vonage.add_file(b"fLaC" + bytes(1000))
    with fetcher.open(file.url, file.size) as audio:
        assert audio.kind.ext == "bin"
        assert hashlib.sha256(read_all(audio)).hexdigest() == file.sha256


def test_the_old_form_of_the_url_is_fetched_too(vonage, fetcher):
    file = vonage.add_file(old_url=True)
    with fetcher.open(file.url, file.size) as audio:
        assert read_all(audio) == file.content


def test_each_request_shows_a_fresh_token(vonage, fetcher):
    file = vonage.add_file(faults=["500"])
    with pytest.raises(SourceUnavailable):
        fetcher.open(file.url)
    fetcher.open(file.url).close()
    assert len(set(file.authorizations)) == 2
    assert file.refused == 0


def test_an_entry_in_netrc_does_not_replace_the_token(vonage, fetcher, tmp_path, monkeypatch):
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login somebody password else\n")
    monkeypatch.setenv("NETRC", str(netrc))
    file = vonage.add_file()
    with fetcher.open(file.url, file.size) as audio:
        assert read_all(audio) == file.content
    assert file.authorizations[0].startswith("Bearer ")


# --- Refusals ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "kind", "message"),
    [
        ("401", SourceDenied, "VONAGE_PRIVATE_KEY"),
        ("403", SourceDenied, "403"),
        ("404", SourceMissing, "404"),
        ("410", SourceMissing, "410"),
        ("429:7", SourceUnavailable, "slow down"),
        ("500", SourceUnavailable, "500"),
        ("503", SourceUnavailable, "503"),
        ("418", SourceUnavailable, "418"),
        ("html", NotAudio, "a page"),
        ("json", NotAudio, "a page"),
        ("empty", NotAudio, "empty"),
        ("gzip", NotAudio, "encoded"),
    ],
)
def test_whatever_is_no_audio_is_refused_before_a_byte_is_given(vonage, fetcher, fault, kind, message):
    file = vonage.add_file(faults=[fault])
    with pytest.raises(kind, match=message) as caught:
        fetcher.open(file.url, file.size)
    assert type(caught.value) is kind
    assert caught.value.retry_after == (7 if fault == "429:7" else None)
    with fetcher.open(file.url, file.size) as audio:  # and then all is well
        assert read_all(audio) == file.content


@pytest.mark.parametrize("coding", ["utf-8", "binary", "identity", "utf-8, identity"])
def test_what_is_no_content_coding_says_nothing(token, coding):
    with _serving({"Content-Encoding": coding}) as (origin, _):
        audio = Fetcher(HostRule.parse([origin]), token.mint).open(f"{origin}/x")
        assert read_all(audio) == BODY


@pytest.mark.parametrize("coding", ["gzip", "GZIP", "x-gzip", "deflate", "br", "zstd", "compress", "utf-8, br"])
def test_an_encoded_body_is_refused(token, coding):
    with _serving({"Content-Encoding": coding}) as (origin, _), pytest.raises(NotAudio, match="encoded"):
        Fetcher(HostRule.parse([origin]), token.mint).open(f"{origin}/x")


@pytest.mark.parametrize(
    ("sent", "arrives"),
    [
        ("/a?name=my call", "/a?name=my%20call"),
        ("/a%20b?c=%C3%BC%2F&d=e+f;g", "/a%20b?c=%C3%BC%2F&d=e+f;g"),
        ("/a?b=100%", "/a?b=100%25"),
        ('/ü\\<>"^`{|}', "/%C3%BC%5C%3C%3E%22%5E%60%7B%7C%7D"),
        ("/a?b=\r\nX-Header: c", "/a?b=%0D%0AX-Header:%20c"),
    ],
)
def test_a_url_is_percent_encoded_once(token, sent, arrives):
    with _serving() as (origin, asked):
        Fetcher(HostRule.parse([origin]), token.mint).open(f" {origin}{sent}").close()
    assert asked == [arrives]


@pytest.mark.parametrize("content", [b"<!doctype html><html>", b'{"error": "no"}', b"  \n<HTML><body>"])
def test_a_page_that_claims_to_be_audio_is_refused(vonage, fetcher, content):
    file = vonage.add_file(content, content_type="audio/mpeg")
    with pytest.raises(NotAudio, match="audio/mpeg"):
        fetcher.open(file.url)


def test_another_applications_token_is_refused_by_vonage(vonage, rsa_key):
    other = ApplicationToken("another-application", rsa_key)
    file = vonage.add_file()
    with pytest.raises(SourceDenied, match="401"):
        Fetcher(HostRule.parse([vonage.origin]), other.mint).open(file.url)
    assert file.refused == 1


def test_nobody_there_is_tried_again(fetcher, vonage):
    file = vonage.add_file(old_url=True)
    vonage.close()
    with pytest.raises(SourceUnavailable, match=r"could not be reached: .*refused") as caught:
        fetcher.open(file.url)
    assert file.id not in str(caught.value)  # a query may hold a secret


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("https://evil.example/v1/files/x", "RECORDING_HOSTS"),
        ("http://127.0.0.1:1/x", "RECORDING_HOSTS"),
        ("", "not understood"),
        ("nonsense", "not understood"),
        ("https://[::1", "not understood"),
        ("https://u:p@h/?secret", "not understood"),
        ("https://h\\.nexmo.com/", "not understood"),
        ("https://my host/x", "not understood"),
        ("ftp://api.nexmo.com/x", "not understood"),
    ],
)
def test_a_host_that_may_not_have_the_token_is_never_asked(url, reason, vonage, token):
    def mint():
        raise AssertionError("a token was made for a stranger")

    with pytest.raises(SourceDenied, match=reason) as caught:
        Fetcher(HostRule.parse([vonage.origin]), mint).open(url)
    assert "secret" not in str(caught.value)
    assert "u:p" not in str(caught.value)


def test_the_token_is_in_no_message(vonage, fetcher, token):
    seen = []
    for fault in ("401", "500", "html", "empty", "hang", "redirect-stranger", "reset", "truncated"):
        file = vonage.add_file(faults=[fault])
        vonage_closes_soon = threading.Timer(0.2, vonage._closing.set)
        vonage_closes_soon.start()
        with pytest.raises(Exception, match=r"\w") as caught:
            read_all(fetcher.open(file.url, file.size))
        vonage_closes_soon.join()
        seen += [authorization.removeprefix("Bearer ") for authorization in file.authorizations]
        assert not any(token in str(caught.value) or token in repr(caught.value) for token in seen)


# --- Redirects --------------------------------------------------------------------------------------------------------


def test_a_redirect_to_a_stranger_is_refused_and_the_stranger_sees_nobody(vonage, fetcher):
    file = vonage.add_file(faults=["redirect-stranger"])
    with pytest.raises(SourceDenied, match=vonage.stranger_origin):
        fetcher.open(file.url, file.size)
    assert vonage.stranger_visits == []


@pytest.mark.parametrize("hops", [1, 2, 3])
def test_redirects_within_the_rule_are_followed_with_a_token_each(vonage, fetcher, hops):
    file = vonage.add_file(faults=["redirect"] * hops)
    with fetcher.open(file.url, file.size) as audio:
        assert read_all(audio) == file.content
    assert len(set(file.authorizations)) == hops + 1
    assert file.refused == 0


def test_the_fourth_redirect_is_one_too_many(vonage, fetcher):
    file = vonage.add_file(faults=["redirect"] * 4)
    with pytest.raises(SourceUnavailable, match="more than 3 times"):
        fetcher.open(file.url, file.size)
    assert file.requests == 4


def test_a_relative_redirect_stays_where_it_is(vonage, fetcher):
    target = vonage.add_file()
    file = vonage.add_file(faults=[f"redirect:/v1/files/{target.id}"])
    with fetcher.open(file.url) as audio:
        assert read_all(audio) == target.content


@pytest.mark.parametrize(
    ("place", "kind"),
    [
        ("//evil.example/v1/files/x", SourceDenied),
        ("https://api.nexmo.com@evil.example/", SourceDenied),
        ("file:///etc/passwd", SourceDenied),
        ("http://[", SourceUnavailable),
    ],
)
def test_no_redirect_leads_astray(vonage, fetcher, place, kind):
    file = vonage.add_file(faults=[f"redirect:{place}"])
    with pytest.raises(kind):
        fetcher.open(file.url)
    assert vonage.stranger_visits == []


# --- False ends -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", ["truncated", "truncated-chunked", "reset"])
@pytest.mark.parametrize("n", [4096, 1 << 20, -1])
def test_a_body_that_breaks_off_never_ends_cleanly(vonage, fetcher, fault, n):
    file = vonage.add_file(size=300_000, faults=[fault])
    with pytest.raises(SourceTruncated, match="bytes came"), fetcher.open(file.url, file.size) as audio:
        read_all(audio, n)
    assert not audio.complete


def test_a_body_of_no_length_is_measured_by_the_event(vonage, fetcher):
    file = vonage.add_file(size=300_000, faults=["truncated-unsized", "truncated-unsized", "close-delimited"])
    with pytest.raises(SourceTruncated, match="150000 of 300000 bytes"), fetcher.open(file.url, file.size) as audio:
        read_all(audio)
    with fetcher.open(file.url, None) as audio:  # nobody announced a size: nothing can tell
        assert len(read_all(audio)) == 150_000
    with fetcher.open(file.url, 100) as audio:  # more than was announced is no less
        assert len(read_all(audio)) == 300_000


@pytest.mark.parametrize("fault", [None, "chunked"])
def test_where_the_reply_proves_its_end_the_events_size_does_not_count(vonage, fetcher, fault):
    file = vonage.add_file(size=1000, faults=[fault] if fault else [])
    with fetcher.open(file.url, 5000) as audio:
        assert len(read_all(audio)) == 1000


def test_a_body_shorter_than_a_first_look_is_no_false_end(vonage, fetcher):
    file = vonage.add_file(b"OggS\0")
    with fetcher.open(file.url, 5) as audio:
        assert (read_all(audio), audio.kind.format) == (b"OggS\0", "ogg")


# --- Time -------------------------------------------------------------------------------------------------------------


def test_a_reply_that_never_comes_is_given_up(vonage, hasty):
    file = vonage.add_file(faults=["hang"])
    with pytest.raises(SourceUnavailable, match="could not be reached"):
        hasty.open(file.url, file.size)


def test_a_body_that_stops_coming_is_given_up(vonage, hasty):
    file = vonage.add_file(size=160_000, faults=["drip:30"])
    with pytest.raises(SourceUnavailable, match="10000 of 160000 bytes"), hasty.open(file.url, file.size) as audio:
        read_all(audio)


def test_a_body_that_drips_for_ever_is_given_up(vonage, token):
    now = [0.0]

    def ticks():
        now[0] += 20
        return now[0]

    file = vonage.add_file(size=160_000, faults=["drip:0.001"])
    slow = Fetcher(HostRule.parse([vonage.origin]), token.mint, ticks=ticks)
    with pytest.raises(SourceUnavailable, match="too slow"), slow.open(file.url, file.size) as audio:
        read_all(audio, 1)


def test_speech_may_come_as_slowly_as_it_was_spoken(vonage, token):
    now = [0.0]

    def ticks():
        now[0] += 2  # 10,000 bytes of 32 kbit/s speech last longer
        return now[0]

    file = vonage.add_file(size=160_000, faults=["drip:0.001"])
    with Fetcher(HostRule.parse([vonage.origin]), token.mint, ticks=ticks).open(file.url, file.size) as audio:
        assert len(read_all(audio)) == 160_000


def test_a_transfer_whose_lease_is_lost_stops(vonage, fetcher):
    asked = []

    def stopped():
        asked.append(1)
        return len(asked) > 3

    file = vonage.add_file(size=300_000, faults=["drip:0.001"])
    with pytest.raises(LeaseLost), fetcher.open(file.url, file.size, stopped=stopped) as audio:
        read_all(audio)
