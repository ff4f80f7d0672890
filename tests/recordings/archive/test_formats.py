"""What the first bytes say."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recordings.archive import formats
from simulator import speech


@pytest.mark.parametrize(("format", "channels"), [("mp3", 1), ("mp3", 2), ("wav", 1), ("wav", 2), ("ogg", 1)])
def test_real_speech_is_known_by_its_bytes(format, channels):
    sound = speech(format, channels, "any")
    kind = formats.audio_kind(sound.content[: formats.HEAD])
    assert (kind.format, kind.ext) == (format, format)
    assert kind is formats.BY_FORMAT[format]
    assert not formats.is_page(sound.content[: formats.HEAD])


@pytest.mark.parametrize(
    ("head", "kind"),
    [
        (b"ID3\x04\0\0", formats.MP3),
        (b"\xff\xfb\x90\x64", formats.MP3),
        (b"\xff\xe3\x18\xc4", formats.MP3),
        (b"RIFF\x24\x08\0\0WAVEfmt ", formats.WAV),
        (b"RF64\xff\xff\xff\xffWAVEds64", formats.WAV),
        (b"OggS\0\x02", formats.OGG),
        (b"RIFF\x24\x08\0\0AVI LIST", formats.UNKNOWN),
        (b"\xff", formats.UNKNOWN),
        (b"\xff\x1f", formats.UNKNOWN),
        (b"fLaC", formats.UNKNOWN),
        (b"\0\0\0 ftypM4A ", formats.UNKNOWN),
        (b"", formats.UNKNOWN),
    ],
)
def test_each_kind_has_its_mark(head, kind):
    assert formats.audio_kind(head) is kind


def test_unknown_audio_is_bin():
    assert (formats.UNKNOWN.ext, formats.UNKNOWN.content_type) == ("bin", "application/octet-stream")


@pytest.mark.parametrize(
    "head",
    [
        b"<!DOCTYPE html>",
        b"<!doctype HTML PUBLIC",
        b"<HTML>",
        b"\n\n  <html lang=en>",
        b"\xef\xbb\xbf<html>",
        b"<?xml version='1.0'?>",
        b'{"type": "https://developer.vonage.com/api-errors"',
        b'\r\n[{"error"',
        b"<head>",
    ],
)
def test_a_page_is_known_whatever_its_header_says(head):
    assert formats.is_page(head)


@given(st.binary(max_size=64))
def test_nothing_is_both_audio_and_a_page(head):
    assert not (formats.is_page(head) and formats.audio_kind(head) is not formats.UNKNOWN)
