"""What the first bytes say: an audio format, or a page in place of one.

Vonage does not document the Content-Type of its files, and the NCCO may have asked for another format than the setting
says, so the bytes decide.
"""

from __future__ import annotations

from typing import NamedTuple

# How many bytes `audio_kind` and `is_page` need.
HEAD = 64


class Kind(NamedTuple):
    """A format's name, its file extension and its media type."""

    format: str
    ext: str
    content_type: str


MP3 = Kind("mp3", "mp3", "audio/mpeg")
WAV = Kind("wav", "wav", "audio/wav")
OGG = Kind("ogg", "ogg", "audio/ogg")
UNKNOWN = Kind("unknown", "bin", "application/octet-stream")

BY_FORMAT = {kind.format: kind for kind in (MP3, WAV, OGG)}


def audio_kind(head: bytes) -> Kind:
    """The kind of audio that starts with these bytes."""
    if head[:4] in (b"RIFF", b"RF64") and head[8:12] == b"WAVE":
        return WAV
    if head[:4] == b"OggS":
        return OGG
    # An ID3 tag, or the sync word of an MPEG frame: eleven set bits.
    if head[:3] == b"ID3" or (len(head) > 1 and head[0] == 0xFF and head[1] & 0xE0 == 0xE0):
        return MP3
    return UNKNOWN


def is_page(head: bytes) -> bool:
    """Whether these bytes begin an HTML, XML or JSON document: an error page, whatever its Content-Type says."""
    start = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    return start.startswith((b"<!doctype", b"<html", b"<?xml", b"<head", b"{", b"["))
