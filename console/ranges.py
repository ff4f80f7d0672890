"""Which part of an object a request asks for, by RFC 9110, section 14. Only numbers and headers: nothing is read here.

https://www.rfc-editor.org/rfc/rfc9110#name-range-requests
"""

from __future__ import annotations

import re
from dataclasses import dataclass

# One range of bytes. Several, another unit, or anything else counts as no range: then the whole object is served.
_RANGE = re.compile(r"bytes=[ \t]*(\d{0,19})-(\d{0,19})[ \t]*", re.IGNORECASE | re.ASCII)


class Unsatisfiable(Exception):
    """The range begins behind the end of the object: 416."""


@dataclass(frozen=True, slots=True)
class Part:
    """The bytes from `start` up to, not including, `end` of an object of `size` bytes."""

    start: int
    end: int
    size: int

    @property
    def length(self) -> int:
        return self.end - self.start

    @property
    def content_range(self) -> str:
        """The header: `bytes 0-99/1000`."""
        return f"bytes {self.start}-{self.end - 1}/{self.size}"

    def cut(self, most: int) -> Part:
        """At most so many bytes of it: a client asks on, because a reply may be shorter than its range."""
        return Part(self.start, min(self.end, self.start + most), self.size)


def requested_part(header: str, size: int) -> Part | None:
    """The part that a Range header names; None: it names none that is served, so the whole object is.

    Raises `Unsatisfiable`.
    """
    match = _RANGE.fullmatch(header.strip())
    if match is None or match[0].endswith("=-") or not (match[1] or match[2]):
        return None
    first, last = match[1], match[2]
    if not first:  # the last bytes
        part = Part(max(0, size - int(last)), size, size)
    elif last and int(last) < int(first):
        return None
    else:
        part = Part(int(first), min(int(last) + 1, size) if last else size, size)
    if part.start >= size:
        raise Unsatisfiable
    return part
