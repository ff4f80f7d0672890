"""How log lines look and where they go: for people (`LOG_FORMAT=text`) or for machines (`json`, one object a line)."""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime

from recordings.masking import masked

_LONGEST = 64 * 1024  # characters of a text in the log: a plugin's exception may have millions
_MARGIN = 8 * 1024  # characters in which a secret that the end would cut in two is still seen as one
_TEXT = "%(asctime)s %(levelname)-7s %(name)s: %(message)s"

# The INFO lines of these libraries say nothing about recordings, and urllib3's DEBUG lines hold whole URLs.
_QUIET = ("azure", "google", "urllib3", "alembic", "werkzeug")


class JsonLines(logging.Formatter):
    """One JSON object a line: time, level, logger, message, and the traceback of an exception."""

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps({name: _fit(text) for name, text in line.items()}, ensure_ascii=False)


class TextLines(logging.Formatter):
    """One line, and below it the traceback where there is one."""

    def format(self, record: logging.LogRecord) -> str:
        return _fit(super().format(record))


def _fit(text: str) -> str:
    """The text without secrets, cut where it is longer than anybody reads."""
    fitting = masked(text[: _LONGEST + _MARGIN])[:_LONGEST]
    return fitting if len(text) <= _LONGEST else f"{fitting} … and {len(text) - _LONGEST:,} characters more"


def configure_logging(level: str, form: str) -> None:
    """Send log lines to stderr; stdout belongs to what a command prints. A second call replaces what the first set."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines() if form == "json" else TextLines(_TEXT))
    handler.set_name("tapekeeper")
    root = logging.getLogger()
    for former in [old for old in root.handlers if old.get_name() == "tapekeeper"]:
        root.removeHandler(former)
    root.addHandler(handler)
    root.setLevel(level)
    # No line of ours holds the thread or the source line, and to find them out takes most of the time of a log call.
    # https://docs.python.org/3/howto/logging.html#optimization
    logging.logThreads = logging.logMultiprocessing = False
    logging._srcfile = None
    for name in _QUIET:
        logging.getLogger(name).setLevel(max(logging.WARNING, root.level))
