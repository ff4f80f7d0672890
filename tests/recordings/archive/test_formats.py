"""What the first bytes say."""

from __future__ import annotations

import bz2
import codecs
import gzip
import lzma
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recordings.archive import formats
from simulator import speech

SPEECH = [("mp3", 1), ("mp3", 2), ("wav", 1), ("wav", 2), ("ogg", 1)]
MPEG_1, MPEG_2, MPEG_25 = b"\xff\xfb\x90\x64", b"\xff\xf3\x48\xc4", b"\xff\xe3\x48\xc4"
MP3_FRAMES = {
    "MPEG-1": (MPEG_1 + bytes(413)) * 2,
    "MPEG-2": (MPEG_2 + bytes(140)) * 2,
    "MPEG-2.5": (MPEG_25 + bytes(284)) * 2,
}
ADTS = b"\xff\xf1\x50\x80\x04\x1f\xfc"  # a frame of 32 bytes
AAC_FRAMES = (ADTS + bytes(25)) * 3


@pytest.mark.parametrize(("format", "channels"), SPEECH)
def test_real_speech_is_known_by_its_bytes(format, channels):
    sound = speech(format, channels, "any")
    head = sound.content[: formats.HEAD]
    kind = formats.audio_kind(head)
    assert (kind.format, kind.ext) == (format, format)
    assert kind is formats.BY_FORMAT[format]
    assert formats.of_content_type(kind.content_type) is kind


@pytest.mark.parametrize(("format", "channels"), SPEECH)
@given(data=st.data())
def test_no_piece_of_real_speech_is_text(format, channels, data):
    content = speech(format, channels, "any").content
    start = data.draw(st.integers(0, len(content) - formats.HEAD))
    assert not formats.is_text(content[start : start + formats.HEAD])


@pytest.mark.parametrize(
    ("head", "kind"),
    [
        (b"ID3\x04\0\0", formats.MP3),
        (b"ID3\x04\0\0\0\0\x7f\x7f" + bytes(500), formats.MP3),
        (b"ID3\x04\0\0\0\0\0\x03tag" + AAC_FRAMES, formats.AAC),
        (MPEG_1, formats.MP3),  # the file ends before the next frame
        (MPEG_25, formats.MP3),
        *((frames, formats.MP3) for frames in MP3_FRAMES.values()),
        (AAC_FRAMES, formats.AAC),
        (b"\xff\xf9" + ADTS[2:] + bytes(5), formats.AAC),
        (b"RIFF\x24\x08\0\0WAVEfmt ", formats.WAV),
        (b"RF64\xff\xff\xff\xffWAVEds64", formats.WAV),
        (b"OggS\0\x02", formats.OGG),
        (b"RIFF\x24\x08\0\0AVI LIST", formats.UNKNOWN),
        (b"RIFX\0\0\x08\x24WAVEfmt ", formats.UNKNOWN),
        (b"\xff", formats.UNKNOWN),
        (b"\xff\x1f", formats.UNKNOWN),
        (b"\xff\xff\xff\xff", formats.UNKNOWN),
        (b"\xff\xfd\x90\x64", formats.UNKNOWN),  # layer II
        (b"\xff\xfb\xf0\x64", formats.UNKNOWN),  # no such bit rate
        (b"\xff\xfb\x9c\x64", formats.UNKNOWN),  # no such sample rate
        (b"\xff\xfb\x90\x66", formats.UNKNOWN),  # no such emphasis
        (b"\xff\xfb\0\0" + bytes(500), formats.UNKNOWN),  # no bit rate, so no place of a next frame
        (MPEG_1 + bytes(1000), formats.UNKNOWN),  # no next frame
        (MPEG_1 + bytes(413) + MPEG_2 + bytes(413), formats.UNKNOWN),  # another version's
        (ADTS + bytes(500), formats.UNKNOWN),
        (b"\xff\xf1" + bytes(500), formats.UNKNOWN),
        (b"fLaC" + bytes(40), formats.UNKNOWN),
        (b"#!AMR\n\x0c\0", formats.UNKNOWN),
        (b"\0\0\0 ftypM4A ", formats.UNKNOWN),
        (b"", formats.UNKNOWN),
    ],
)
def test_each_kind_has_its_mark(head, kind):
    assert formats.audio_kind(head) is kind
    assert not formats.is_text(head)


@pytest.mark.parametrize(
    ("head", "content_type", "kind"),
    [
        (MPEG_1 + bytes(1000), "audio/mpeg", formats.MP3),
        (b"\xff\xfb\0\0" + bytes(500), "audio/mp3", formats.MP3),
        (ADTS + bytes(500), "audio/aac", formats.AAC),
        (AAC_FRAMES, "audio/mpeg", formats.AAC),
        (b"\xff\xff\xff\xff" + bytes(500), "audio/mpeg", formats.UNKNOWN),
        (b"fLaC" + bytes(500), "audio/mpeg", formats.UNKNOWN),
    ],
)
def test_the_type_helps_where_one_frame_header_is_all_there_is(head, content_type, kind):
    assert formats.audio_kind(head, content_type) is kind


@given(st.binary(min_size=1000, max_size=1000))
def test_eleven_bits_and_noise_are_no_mp3(noise):
    assert formats.audio_kind(b"\xff\xe0" + noise) is formats.UNKNOWN


def test_unknown_audio_is_bin():
    assert (formats.UNKNOWN.ext, formats.UNKNOWN.content_type) == ("bin", "application/octet-stream")


# --- Text ------------------------------------------------------------------------------------------------------------

PAGES = [
    "<!DOCTYPE html>",
    "<!doctype HTML PUBLIC",
    "<HTML>",
    "\n\n  <html lang=en>",
    "<!-- served by the proxy --><html>",
    "<?xml version='1.0'?>",
    "<Error><Code>NoSuchKey</Code></Error>",
    '{"type": "https://developer.vonage.com/api-errors"',
    '\r\n[{"error"',
    "<head>",
    "Not found",
    "<p>Zuf\u00e4llige Fehler \u2014 \u0431\u0435\u0434\u0430 \u200d</p>",
    "OggS is the mark of Ogg, ID3 that of MP3",
]
MARKED = {
    "utf-8": codecs.BOM_UTF8,
    "utf-16-le": codecs.BOM_UTF16_LE,
    "utf-16-be": codecs.BOM_UTF16_BE,
    "utf-32-le": codecs.BOM_UTF32_LE,
    "utf-32-be": codecs.BOM_UTF32_BE,
}


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize("encoding", MARKED)
@pytest.mark.parametrize("marked", [True, False])
def test_a_page_is_text_in_every_encoding(page, encoding, marked):
    head = (MARKED[encoding] if marked else b"") + page.encode(encoding)
    assert formats.is_text(head)


LETTERS = st.characters(codec="utf-8", exclude_categories=["Cc", "Cs", "Cn"]) | st.sampled_from("\t\r\n")


@given(st.text(LETTERS, min_size=1), st.sampled_from(sorted(MARKED)), st.booleans(), st.integers(0, 3))
def test_any_text_is_text_also_where_it_is_cut_within_a_letter(text, encoding, marked, cut):
    page = ("<" + text).encode(encoding)
    head = (MARKED[encoding] if marked else b"") + page[: max(4, len(page) - cut)]
    assert formats.is_text(head)


def test_western_text_is_text_without_a_mark():
    assert formats.is_text("Nicht gefunden: die Seite l\u00e4\u00dft sich nicht \u00f6ffnen \u2026".encode("cp1252"))
    assert formats.is_text("<html><p>\u00e4\u00f6\u00fc".encode("latin-1"))


@given(st.binary(max_size=200), st.sampled_from([b"\0", b"\x01", b"\x7f"]), st.binary(max_size=200))
def test_bytes_with_controls_are_text_only_by_their_markup_or_as_wide_letters(before, control, after):
    head = b"\xff" + before + control + after
    wide = [codec for codec in ("utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be") if _letters(head, codec)]
    assert bool(wide) >= formats.is_text(head)


def _letters(head, encoding):
    text = head.decode(encoding, errors="replace")
    return any(letter.isascii() or letter == "\ufeff" for letter in text[:1])


@pytest.mark.parametrize(
    ("content_type", "named"),
    [
        *[(kind, True) for kind in ("text/html", "text/plain", "application/json", "application/problem+json")],
        *[(kind, True) for kind in ("application/xml", "text/xml", "application/atom+xml", "application/javascript")],
        *[(kind, False) for kind in ("audio/mpeg", "application/octet-stream", "", "binary/octet-stream", "video/mp4")],
    ],
)
def test_a_type_may_name_a_document(content_type, named):
    assert formats.names_document(content_type) is named


# --- Other formats ---------------------------------------------------------------------------------------------------

FOREIGN = {
    "PDF": b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n1 0 obj\n\0\1",
    "PNG": b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR",
    "JPEG": b"\xff\xd8\xff\xe0\0\x10JFIF\0",
    "GIF": b"GIF89a\1\0\1\0",
    "WebP": b"RIFF\x24\x08\0\0WEBPVP8 ",
    "ZIP": b"PK\3\4\x14\0\0\0",
    "gzip": gzip.compress(b"<html>" * 300),
    "zlib": zlib.compress(b"<html>" * 300),
    "bzip2": bz2.compress(b"<html>" * 300),
    "xz": lzma.compress(b"<html>" * 300),
    "ELF": b"\x7fELF\2\1\1\0",
    "Windows program": b"MZ\x90\0\3\0",
    "SQLite": b"SQLite format 3\0\x10\0",
    "TLS": b"\x16\x03\x01\0\xf4\1",
    "Shift JIS": "録音ファイルが見つかりませんでした。しばらくしてからもう一度お試しください。".encode("shift_jis") * 3,
    "GBK": "找不到录音文件。请稍后再试。如果问题仍然存在。请联系管理员。".encode("gbk") * 3,
}


@pytest.mark.parametrize("name", FOREIGN)
@pytest.mark.parametrize("content_type", ["", "audio/mpeg", "application/octet-stream"])
def test_what_a_server_may_send_by_mistake_is_neither_audio_nor_taken_for_unknown(name, content_type):
    assert formats.audio_kind(FOREIGN[name], content_type) is formats.UNKNOWN
    assert formats.foreign_format(FOREIGN[name], content_type)


@pytest.mark.parametrize(
    "content_type",
    [
        *("image/png", "image/svg+xml", "font/woff2", "application/pdf", "application/zip", "application/gzip"),
        *("application/x-msdownload", "application/vnd.ms-excel", "application/x-tar", "multipart/form-data"),
    ],
)
def test_a_type_of_no_audio_is_a_reason_for_doubt(content_type):
    assert content_type in formats.foreign_format(b"fLaC" + bytes(500), content_type)
    assert formats.audio_kind(MP3_FRAMES["MPEG-1"], content_type) is formats.MP3


@pytest.mark.parametrize(
    "content_type",
    ["", "audio/flac", "video/mp4", "application/octet-stream", "binary/octet-stream", "application/ogg", "unknown"],
)
@pytest.mark.parametrize(
    "head", [b"fLaC" + bytes(500), b"#!AMR\n\x0c\0", b"\0\0\0 ftypM4A ", b"RIFX\0\0\x08\x24WAVEfmt "]
)
def test_audio_of_an_unknown_format_gives_no_reason_for_doubt(head, content_type):
    assert formats.foreign_format(head, content_type) == ""
