"""Object keys: the one grammar that every store keeps unchanged, and the template that names recordings in it.

A key is segments joined by `/`. A segment is `[A-Za-z0-9][A-Za-z0-9!_.=()'-]*`, does not end in a dot, and has at most
200 bytes; a key has at most 512. That is what Google, Azure, S3 and file systems have in common:
https://cloud.google.com/storage/docs/objects#naming
https://learn.microsoft.com/rest/api/storageservices/naming-and-referencing-containers--blobs--and-metadata
Nothing here touches a store.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from string import Formatter

from .errors import InvalidKey, StorageConfigurationError
from .model import Recording

MAX_KEY = 512
MAX_SEGMENT = 200
SIDECAR = ".json"  # beside each object lies `<key>.json`: what the template makes leaves room for it

SEGMENT = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9!_.=()'-]*[A-Za-z0-9!_=()'-])?")

# Free text is cut to so many characters; what is left of the key belongs to the ids, in equal parts.
WORDS = {"from": 32, "to": 32, "direction": 16, "flow": 24, "format": 8, "channels": 8, "ext": 8}
IDS = ("recording_uuid", "conversation_uuid", "application_id")
TIMES = ("start", "end")
FIELDS = (*IDS, *TIMES, *WORDS)

SHORTEST_ID = 40  # a Vonage conversation id, `CON-` and a UUID, must fit unchanged
BASIC_TIME = "%Y%m%dT%H%M%SZ"  # ISO 8601 without the colons, which no key may hold
DIRECTIVES = "YymdHMSjGVuwf"  # what strftime gives the same in every locale
UUID = re.compile(r"[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}")
PLAIN = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_.-]*[A-Za-z0-9_-])?")


class InvalidTemplate(StorageConfigurationError, ValueError):
    """`STORAGE_KEY_TEMPLATE` cannot make legal keys; the message says what to write."""


def check_key(key: str) -> None:
    """Raise `InvalidKey`, which says what is wrong, unless the key is legal in every store."""
    problem = _problem(key)
    if problem:
        raise InvalidKey(f"The key {key[:80]!r} {problem}. Nothing was read or written under it.")


def _problem(key: str) -> str | None:
    if not key:
        return "is empty"
    if len(key) > MAX_KEY:
        return f"has {len(key)} characters: at most {MAX_KEY} are safe in every store"
    for segment in key.split("/"):
        if len(segment) > MAX_SEGMENT:
            return f"has a part of {len(segment)} characters between slashes: at most {MAX_SEGMENT} are safe"
        if not SEGMENT.fullmatch(segment):
            return (
                f"has the part {segment[:40]!r}: each part between slashes must begin with a letter or digit, hold "
                "only A-Z a-z 0-9 ! _ . = ( ) ' - and not end in a dot"
            )
    return None


@dataclass(frozen=True, slots=True)
class _Piece:
    """A literal text (`field` empty), or a field with the format of a time."""

    text: str
    field: str = ""


class KeyTemplate:
    """A template such as `{start:%Y/%m/%d}/{recording_uuid}.{ext}`, parsed once.

    Fields: recording_uuid, conversation_uuid, application_id, start and end (UTC, with an optional strftime format),
    ext, format, flow, from, to, direction, channels. Raises `InvalidTemplate` with what to write instead.
    """

    def __init__(self, template: str) -> None:
        self.template = template
        self._pieces = tuple(_parse(template))
        if not any(piece.field == "recording_uuid" for piece in self._pieces):
            raise _wrong(template, "must hold {recording_uuid}, or two recordings would share one key")
        self._id_room = self._measure()
        self._crowded = _crowded(self._pieces)

    def __repr__(self) -> str:
        return f"KeyTemplate({self.template!r})"

    @property
    def steady(self) -> bool:
        """Whether a recording's key never changes: no field of it comes from the call, which may be told later."""
        return all(piece.field in ("", "ext", *IDS, *TIMES) for piece in self._pieces)

    def render(self, recording: Recording, ext: str) -> str:
        """The key of this recording: always legal, always the same, with room for `.json` behind it.

        A missing time is the time of receipt, any other missing value `unknown`. Two different recording_uuids never
        share a key: an id that had to be changed or shortened ends in `=` and a hash of the whole.
        """
        return "".join(self._value(piece, recording, ext) for piece in self._pieces)

    def _value(self, piece: _Piece, recording: Recording, ext: str) -> str:
        match piece.field:
            case "":
                return piece.text
            case "start" | "end":
                moment = recording.start_time if piece.field == "start" else recording.end_time
                return _time(moment or recording.received_at, piece.text)
            case "recording_uuid":
                return _id(recording.recording_uuid, self._id_room, exact=self._crowded)
            case "conversation_uuid" | "application_id":
                return _id(getattr(recording, piece.field), self._id_room)
            case _:
                value = ext if piece.field == "ext" else getattr(recording, _attribute(piece.field))
                return _word(value, WORDS[piece.field])

    def _measure(self) -> int:
        """How many characters each id may have, so that no recording can make the key too long."""
        sample = "".join(_longest(piece) for piece in self._pieces)
        shown = sample.replace("\0", "0")
        problem = _problem(shown)
        if problem:
            raise _wrong(self.template, f"makes keys that are not safe in every store: {shown!r} {problem}")
        room = [_share(sample, MAX_KEY - len(SIDECAR)), _share(sample.rpartition("/")[2], MAX_SEGMENT - len(SIDECAR))]
        room += [_share(segment, MAX_SEGMENT) for segment in sample.split("/")]
        if min(room) < SHORTEST_ID:
            raise _wrong(self.template, "is too long: whole ids do not fit; spread the fields over more parts (`/`)")
        return min(room)


def _parse(template: str) -> Iterator[_Piece]:
    try:
        parsed = list(Formatter().parse(template))
    except ValueError as error:
        raise _wrong(
            template, f"cannot be read: {error}; a field is a name in braces, like {{recording_uuid}}"
        ) from None
    for literal, field, spec, conversion in parsed:
        if literal:
            yield _Piece(literal)
        if field is not None:
            yield _field(template, field, spec or "", conversion)


def _field(template: str, field: str, spec: str, conversion: str | None) -> _Piece:
    # `{a.b}` and `{a[0]}` would reach into objects; only plain names are fields, so they fail here as unknown.
    if field not in FIELDS:
        raise _wrong(template, f"has the unknown field {{{field}}}; the fields are {', '.join(FIELDS)}")
    if conversion:
        raise _wrong(template, f"has {{{field}!{conversion}}}; write {{{field}}}")
    if field not in TIMES:
        if spec:
            raise _wrong(template, f"has the format {spec!r} on {{{field}}}; only {{start}} and {{end}} take one")
        return _Piece("", field)
    for directive in re.findall(r"%(.?)", spec, re.DOTALL):
        if not directive or directive not in DIRECTIVES:
            known = " ".join(f"%{letter}" for letter in DIRECTIVES)
            raise _wrong(template, f"has %{directive} in {{{field}:{spec}}}; the formats are {known}")
    return _Piece(spec or BASIC_TIME, field)


def _wrong(template: str, problem: str) -> InvalidTemplate:
    return InvalidTemplate(f"STORAGE_KEY_TEMPLATE {template!r} {problem}. Without the variable, the default is used.")


def _crowded(pieces: tuple[_Piece, ...]) -> bool:
    """Whether free text shares the recording_uuid's segment, so that where the id begins and ends is a guess."""
    shape = "".join(piece.text or f"{{{piece.field}}}" for piece in pieces)
    free = {f"{{{field}}}" for field in (*IDS, *WORDS)} - {"{recording_uuid}", "{ext}"}
    return any(
        any(field in segment for field in free) or "{recording_uuid}{" in segment or "}{recording_uuid}" in segment
        for segment in shape.split("/")
        if "{recording_uuid}" in segment
    )


def _longest(piece: _Piece) -> str:
    """The longest that a piece can become; an id, whose room is not known yet, is one NUL."""
    if piece.field in IDS:
        return "\0"
    if piece.field in TIMES:
        return _time(datetime(2026, 12, 31, 23, 59, 59, tzinfo=UTC), piece.text)
    return "0" * WORDS[piece.field] if piece.field else piece.text


def _share(text: str, limit: int) -> int:
    ids = text.count("\0")
    return (limit - len(text) + ids) // ids if ids else limit


def _attribute(field: str) -> str:
    return "from_" if field == "from" else field


def _time(moment: datetime, spec: str) -> str:
    try:
        utc = moment.astimezone(UTC) if moment.tzinfo else moment
    except OverflowError:  # the first or the last day of the calendar: senders use them for "no time"
        utc = moment
    # glibc does not pad years before 1000; Python leaves %Y and %G to it.
    spec = spec.replace("%Y", f"{utc.year:04}").replace("%G", f"{utc.isocalendar().year:04}")
    return utc.strftime(spec)


def _word(value: object, room: int) -> str:
    return _safe(str(value))[:room].rstrip(".") if value not in (None, "") else "unknown"[:room]


def _id(value: str, room: int, *, exact: bool = False) -> str:
    plain = (UUID if exact else PLAIN).fullmatch(value) and not value.endswith(SIDECAR)
    if plain and len(value) <= room:
        return value
    # `=` cannot occur in an id that was kept as it came, so a made-up id cannot imitate this form.
    digest = "=" + hashlib.sha256(value.encode("utf-8", "surrogatepass")).hexdigest()[:16]
    return _safe(value)[: room - len(digest)] + digest


def _safe(value: str) -> str:
    return re.sub(r"[^A-Za-z0-9_.-]", "_", value).lstrip("_.-").rstrip(".") or "unknown"
