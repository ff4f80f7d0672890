"""The speech that the pretend Vonage serves, and endless made-up audio for big files.

Here live the shipped files of `audio/`, the mark that makes each served file unlike every other, and a synthetic MP3
stream of any length. Nothing here knows HTTP.

Formats are those of https://developer.vonage.com/en/voice/voice-api/guides/recording: MP3 16 kHz CBR 32 kbit/s and WAV
16-bit 16 kHz PCM, mono or, split, one party a channel.
"""

from __future__ import annotations

import array
import hashlib
import io
import struct
import wave
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

AUDIO = Path(__file__).parent / "audio"
CONTENT_TYPES = {"mp3": "audio/mpeg", "wav": "audio/wav", "ogg": "audio/ogg"}
SECONDS = {"voicemail.mp3": 8.5, "voicemail.ogg": 8.4, "voicemail.wav": 4.8, "dialogue": 8.6}

# One frame of MPEG-2 layer III, 16 kHz, mono, CBR 32 kbit/s is 144 bytes; all its sides zero decode as silence.
FRAME_HEADER = b"\xff\xf3\x48\xc4"
FRAME_SIZE = 144
FRAMES_A_BLOCK = 450


@dataclass(frozen=True)
class Sound:
    """A whole audio file in memory. `seconds` is its length, `channels` what its header says."""

    content: bytes
    content_type: str
    format: str
    channels: int
    seconds: float


def speech(format: str = "mp3", channels: int = 1, label: str = "") -> Sound:
    """Real speech as an `mp3`, `wav` or `ogg` file; two channels are a dialogue, one party a channel.

    More than two channels exist as `wav` alone, as with Vonage; other formats then stay stereo. Two different labels
    give two different files of the same sound, so that a mix-up shows in the checksum.
    """
    if format not in CONTENT_TYPES:
        raise ValueError(f"The pretend Vonage speaks mp3, wav and ogg, not {format!r}.")
    if channels > 2 and format == "wav":
        content, seconds = _multichannel(channels), SECONDS["dialogue"]
    else:
        channels = min(channels, 2)
        name = f"{'dialogue' if channels == 2 else 'voicemail'}.{format}"
        content, seconds = _shipped(name), SECONDS.get(name, SECONDS["dialogue"])
    return Sound(_marked(content, format, label), CONTENT_TYPES[format], format, channels, seconds)


@cache
def _shipped(name: str) -> bytes:
    return (AUDIO / name).read_bytes()


@cache
def _multichannel(channels: int) -> bytes:
    """The dialogue again, left and right in turn on every channel."""
    with wave.open(io.BytesIO(_shipped("dialogue.wav"))) as stereo:
        samples = array.array("h", stereo.readframes(stereo.getnframes()))
        rate = stereo.getframerate()
    wide = array.array("h", bytes(len(samples) // 2 * channels * 2))
    for channel in range(channels):
        wide[channel::channels] = samples[channel % 2 :: 2]
    target = io.BytesIO()
    with wave.open(target, "wb") as sink:
        sink.setnchannels(channels)
        sink.setsampwidth(2)
        sink.setframerate(rate)
        sink.writeframes(wide.tobytes())
    return target.getvalue()


def _marked(content: bytes, format: str, label: str) -> bytes:
    if not label:
        return content
    return {"mp3": _mark_mp3, "wav": _mark_wav, "ogg": _mark_ogg}[format](content, label)


def _mark_mp3(content: bytes, label: str) -> bytes:
    """An ID3v1 tag at the end: the file still starts with a frame, as Vonage's do."""
    text = label.encode()[:60].ljust(60, b"\0")
    return content + b"TAG" + text + bytes(64) + b"\xff"


def _mark_wav(content: bytes, label: str) -> bytes:
    """A LIST INFO chunk at the end, and the RIFF size mended."""
    text = label.encode() + b"\0"
    text += bytes(len(text) % 2)
    info = b"INFOICMT" + struct.pack("<I", len(text)) + text
    whole = content + b"LIST" + struct.pack("<I", len(info)) + info
    return whole[:4] + struct.pack("<I", len(whole) - 8) + whole[8:]


def _mark_ogg(content: bytes, label: str) -> bytes:
    """Another stream serial number on each page, and the pages' checksums mended. RFC 3533 section 6."""
    serial = struct.pack("<I", zlib.crc32(label.encode()))
    pages, at = [], 0
    while at < len(content):
        segments = content[at + 26]
        end = at + 27 + segments + sum(content[at + 27 : at + 27 + segments])
        page = content[at : at + 14] + serial + content[at + 18 : at + 22] + bytes(4) + content[at + 26 : end]
        pages.append(page[:22] + struct.pack("<I", _ogg_crc(page)) + page[26:])
        at = end
    return b"".join(pages)


def _ogg_crc(page: bytes) -> int:
    crc, table = 0, _ogg_table()
    for byte in page:
        crc = (crc << 8 & 0xFFFFFFFF) ^ table[crc >> 24 ^ byte]
    return crc


@cache
def _ogg_table() -> tuple[int, ...]:
    """CRC-32 with polynomial 04c11db7, neither reflected nor inverted: not the one of zlib."""

    def entry(value: int) -> int:
        for _ in range(8):
            value = (value << 1 ^ 0x04C11DB7 if value & 0x80000000 else value << 1) & 0xFFFFFFFF
        return value

    return tuple(entry(number << 24) for number in range(256))


@dataclass(frozen=True)
class Synthetic:
    """A deterministic MP3 stream of exactly `size` bytes that is never whole in memory.

    The same seed and size always give the same bytes; no two blocks of 64 800 bytes are alike, so a block that is
    lost, doubled or swapped changes the checksum.
    """

    size: int
    seed: str

    def chunks(self) -> Iterator[bytes]:
        """The stream in pieces of at most 64 800 bytes."""
        block = (FRAME_HEADER + bytes(FRAME_SIZE - 4)) * FRAMES_A_BLOCK
        seed = hashlib.sha256(self.seed.encode()).digest()[:16]
        for number, start in enumerate(range(0, self.size, len(block))):
            mark = seed + struct.pack(">Q", number)
            # Frame bytes 4 to 119 stay zero (side information); the mark lies in the padding behind them.
            piece = block[:120] + mark + block[144:]
            yield piece[: self.size - start]

    def sha256(self) -> str:
        """Lower-case hex; computed by running through the stream once."""
        digest = hashlib.sha256()
        for chunk in self.chunks():
            digest.update(chunk)
        return digest.hexdigest()
