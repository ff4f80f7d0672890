"""Recordings as a table and as JSON lines: what `flask recordings export` writes and the JSON API sends.

Each is made row by row: memory does not grow with their number. Who exports is noted by whoever calls this.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

from .as_json import as_json_object
from .csv_lines import csv_line
from .search import RecordingRow

COLUMNS = (
    *("recording_uuid", "conversation_uuid", "state", "start_time", "end_time", "received_at", "from", "to"),
    *("direction", "flow", "format", "channels", "seconds", "size", "application_id", "storage", "key", "sha256"),
    "error",
)
_BYTE_ORDER_MARK = "\ufeff"  # by which Excel knows that this is UTF-8


def as_jsonl(rows: Iterable[RecordingRow]) -> Iterator[bytes]:
    """One JSON object a line."""
    return map(json_line, rows)


def json_line(row: RecordingRow) -> bytes:
    """All that is known of a recording, as a line of JSON."""
    return json.dumps(as_json_object(row.recording) | {"seconds": row.seconds}).encode() + b"\n"


def as_csv(rows: Iterable[RecordingRow]) -> Iterator[bytes]:
    """A table with a line of headings; what belongs to several copies stands in one cell, separated by semicolons."""
    yield (_BYTE_ORDER_MARK + csv_line(COLUMNS)).encode()
    for row in rows:
        yield csv_line(_cells(row)).encode()


def _cells(row: RecordingRow) -> list[Any]:
    whole = as_json_object(row.recording) | {"seconds": row.seconds}
    of_copies = {
        name: "; ".join(str(copy[name]) for copy in whole["copies"] if copy[name] is not None)
        for name in ("storage", "key", "sha256", "error")
    }
    return [(whole | of_copies)[name] for name in COLUMNS]
