"""What the first bytes of a reply are: an audio format, text in place of audio, another known format, or unknown.

Vonage does not document the Content-Type of its files, and the NCCO may have asked for another format than the setting
says, so the bytes decide; the reply's type helps only where the bytes allow two readings. A library for this (filetype,
puremagic) knows many more formats, but neither knows all that a telephone records (MPEG-2.5, RF64, bare MP3), and
neither tells text from binary. What a server may send by mistake is a short list: see `foreign_format`.
"""

from __future__ import annotations

import codecs
import re
from typing import NamedTuple
from unicodedata import category

# How many bytes `audio_kind` and `is_text` need: the longest MP3 frame and the next frame's header.
HEAD = 2048


class Kind(NamedTuple):
    """A format's name, its file extension and its media type."""

    format: str
    ext: str
    content_type: str


MP3 = Kind("mp3", "mp3", "audio/mpeg")
WAV = Kind("wav", "wav", "audio/wav")
OGG = Kind("ogg", "ogg", "audio/ogg")
AAC = Kind("aac", "aac", "audio/aac")
UNKNOWN = Kind("unknown", "bin", "application/octet-stream")

BY_FORMAT = {kind.format: kind for kind in (MP3, WAV, OGG, AAC)}
_BY_CONTENT_TYPE = {kind.content_type: kind for kind in BY_FORMAT.values()}

_MP3_TYPES = ("audio/mpeg", "audio/mp3", "audio/x-mp3", "audio/mpeg3")
_AAC_TYPES = ("audio/aac", "audio/aacp", "audio/x-aac")


def of_content_type(content_type: str | None) -> Kind:
    """The kind whose media type this is, as the catalogue keeps it."""
    return _BY_CONTENT_TYPE.get(content_type or "", UNKNOWN)


def audio_kind(head: bytes, content_type: str = "") -> Kind:
    """The kind of audio that starts with these bytes, which are not text; `content_type` is what the reply says.

    A frame header of MP3 or AAC is short, and other binary files begin so by chance. It counts where the next frame
    follows it, where the file ends before the next frame, or where the reply's type says the same.
    """
    if head[:4] in (b"RIFF", b"RF64") and head[8:12] == b"WAVE":
        return WAV
    if head[:4] == b"OggS":
        return OGG
    if head[:3] == b"ID3":
        return AAC if _starts_with_aac_frame(_after_tag(head)) else MP3
    if _starts_with_mp3_frame(head, content_type in _MP3_TYPES):
        return MP3
    return AAC if _starts_with_aac_frame(head, content_type in _AAC_TYPES) else UNKNOWN


def _after_tag(head: bytes) -> bytes:
    """What follows an ID3 tag, where the tag ends within the head. https://id3.org/id3v2.4.0-structure section 3.1"""
    if len(head) < 10:
        return b""
    size = 0
    for byte in head[6:10]:
        size = (size << 7) | (byte & 0x7F)
    return head[10 + size :]


# --- Frame headers ---------------------------------------------------------------------------------------------------

# ISO 11172-3 section 2.4.1.3, by the header's two bits for the version: MPEG-1, MPEG-2 and, outside the standard,
# MPEG-2.5. http://www.mp3-tech.org/programmer/frame_header.html
_KBITS_1 = (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)
_KBITS_2 = (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)
_HERTZ = {0b11: (44100, 48000, 32000), 0b10: (22050, 24000, 16000), 0b00: (11025, 12000, 8000)}


def _starts_with_mp3_frame(head: bytes, sure: bool) -> bool:
    """Whether the head starts with a frame of MP3; `sure`: its header alone is believed."""
    length = _mp3_frame_length(head)
    if length is None:
        return False
    if sure or (length > 0 and len(head) < length + 4):
        return True
    following = head[length:]
    # Version, layer and sample rate stay the same through a file; the bit rate may change.
    same = head[1] & 0xFE == following[1] & 0xFE and head[2] & 0x0C == following[2] & 0x0C
    return length > 0 and same and _mp3_frame_length(following) is not None


def _mp3_frame_length(head: bytes) -> int | None:
    """The frame's length in bytes, 0 where its header does not give it ("free format"); None: no header of MP3."""
    if len(head) < 4 or head[0] != 0xFF or head[1] & 0xE0 != 0xE0:
        return None
    version, layer = head[1] >> 3 & 3, head[1] >> 1 & 3
    bitrate, hertz, padding, emphasis = head[2] >> 4, head[2] >> 2 & 3, head[2] >> 1 & 1, head[3] & 3
    if version not in _HERTZ or layer != 0b01 or bitrate == 15 or hertz == 3 or emphasis == 2:
        return None
    first = version == 0b11
    kbits = (_KBITS_1 if first else _KBITS_2)[bitrate]
    return kbits and (144 if first else 72) * 1000 * kbits // _HERTZ[version][hertz] + padding


def _starts_with_aac_frame(head: bytes, sure: bool = False) -> bool:
    """Whether the head starts with a frame of raw AAC; `sure`: its header alone is believed."""
    length = _aac_frame_length(head)
    if length is None:
        return False
    following = head[length : length + 7]
    return sure or len(following) < 7 or (_aac_frame_length(following) is not None and following[:3] == head[:3])


def _aac_frame_length(head: bytes) -> int | None:
    """The length in bytes of a frame with an ADTS header; None: no such header. https://wiki.multimedia.cx/index.php/ADTS"""
    if len(head) < 7 or head[0] != 0xFF or head[1] & 0xF6 != 0xF0 or head[2] >> 2 & 0xF > 12:
        return None
    length = (head[3] & 3) << 11 | head[4] << 3 | head[5] >> 5
    return length if length >= 7 else None


# --- Text ------------------------------------------------------------------------------------------------------------

_CONTROL = re.compile(rb"[\x00-\x08\x0e-\x1f\x7f]")
_NO_ASCII = re.compile(rb"[\x80-\xff]")
_MARKUP = re.compile(rb"\s*<(!doctype|!--|\?xml|html|head|body|error)", re.IGNORECASE)
_BYTE_ORDER_MARKS = (  # UTF-32 before UTF-16, whose mark it begins with
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
    (codecs.BOM_UTF8, "utf-8"),
)
_ENOUGH = 100  # bytes: in binary data so many bytes without a control character are improbable
_SPACES = "\t\n\v\f\r"
_NO_LETTERS = ("Cc", "Cn", "Cs")  # controls, what Unicode has not assigned, halves of pairs
_DOCUMENT_TYPE = re.compile(r"text/.*|.*[/+](json|xml)|application/(javascript|xhtml\+xml|x-www-form-urlencoded)")


def is_text(head: bytes) -> bool:
    """Whether these bytes begin a text, in whatever encoding: HTML, XML, JSON or plain words. Text is never audio."""
    for mark, encoding in _BYTE_ORDER_MARKS:
        if head.startswith(mark):
            text = _decoded(head[len(mark) :], encoding)
            if text is not None:
                return True
    if _MARKUP.match(head) or _decoded(head, "utf-8"):
        return True
    # Almost any bytes are some East Asian letters in UTF-16, so without a mark the text must begin with ASCII.
    wide = (_decoded(head, encoding) for encoding in ("utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"))
    return any(text and text[0].isascii() for text in wide) or _is_western(head)


def names_document(content_type: str) -> bool:
    """Whether a media type names a text document, such as an error page. Bytes of a known audio format outweigh it."""
    return _DOCUMENT_TYPE.fullmatch(content_type) is not None


def _decoded(head: bytes, encoding: str) -> str | None:
    """The text that these bytes are, or None. The last character may be cut."""
    try:
        text = codecs.getincrementaldecoder(encoding)().decode(head)
    except UnicodeDecodeError:
        return None
    return text if all(letter in _SPACES or category(letter) not in _NO_LETTERS for letter in text) else None


def _is_western(head: bytes) -> bool:
    """Whether this is text in Latin-1, Windows-1252 or the like: nine in ten bytes are ASCII, and none controls."""
    if _CONTROL.search(head):
        return False
    ascii_bytes = len(head) - len(_NO_ASCII.findall(head))
    return 10 * ascii_bytes >= 9 * len(head) > 0


# --- Other formats ---------------------------------------------------------------------------------------------------

# Formats that a server, a proxy or a store may send by mistake, by the bytes that they begin with.
# https://www.garykessler.net/library/file_sigs.html
_MARKS = {
    "a PDF document": (b"%PDF-",),
    "a PNG image": (b"\x89PNG\r\n\x1a\n",),
    "a JPEG image": (b"\xff\xd8\xff",),
    "a GIF image": (b"GIF87a", b"GIF89a"),
    "a TIFF image": (b"II*\0", b"MM\0*"),
    "an icon": (b"\0\0\1\0",),
    "a font": (b"wOFF", b"wOF2"),
    "a ZIP archive": (b"PK\3\4", b"PK\5\6", b"PK\7\x08"),
    "gzip data": (b"\x1f\x8b",),
    "zlib data": (b"x\x01", b"x\x5e", b"x\x9c", b"x\xda"),
    "bzip2 data": (b"BZh",),
    "xz data": (b"\xfd7zXZ\0",),
    "Zstandard data": (b"\x28\xb5\x2f\xfd",),
    "a 7z archive": (b"7z\xbc\xaf\x27\x1c",),
    "a RAR archive": (b"Rar!\x1a\7",),
    "a program": (b"\x7fELF", b"MZ", b"\0asm", b"\xcf\xfa\xed\xfe", b"\xca\xfe\xba\xbe"),
    "an SQLite database": (b"SQLite format 3\0",),
    "an Office document": (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1",),
    "a TLS record": (b"\x15\3", b"\x16\3"),
}
_MAY_BE_AUDIO = re.compile(
    r"|(audio|video)/.*|(application|binary)/octet-?stream|application/(x-)?(ogg|mp4|binary|download|force-download)"
)
_NAMES_NO_AUDIO = re.compile(r"[\w.+-]+/[\w.+-]+")


def foreign_format(head: bytes, content_type: str = "") -> str:
    """What these bytes of no known audio format seem to be, such as "a PDF document"; `""` where nothing tells.

    The marks are short, and a type may be wrong: this is a reason for doubt and no proof.
    """
    for name, marks in _MARKS.items():
        if head.startswith(marks):
            return name
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "a WebP image"
    if len(head) >= _ENOUGH and not _CONTROL.search(head):  # Shift JIS, GBK or the like
        return "text in an unknown encoding"
    names_other = _NAMES_NO_AUDIO.fullmatch(content_type) and not _MAY_BE_AUDIO.fullmatch(content_type)
    return f"the type {content_type[:80]}" if names_other else ""
