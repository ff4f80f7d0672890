"""What `flask doctor` says about one thing: how bad it is, what was seen, and what to do about it."""

from __future__ import annotations

from dataclasses import dataclass

OK, WARNING, ERROR = "ok", "warning", "error"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of `flask doctor`: `level` is `ok`, `warning` or `error`; `mend` says what to do, None where nothing."""

    level: str
    part: str
    message: str
    mend: str | None = None


def ok(part: str, message: str) -> Finding:
    """All is well."""
    return Finding(OK, part, message)


def warning(part: str, message: str, mend: str) -> Finding:
    """It works, or may work; somebody should look."""
    return Finding(WARNING, part, message, mend)


def error(part: str, message: str, mend: str) -> Finding:
    """Recordings are not kept like this."""
    return Finding(ERROR, part, message, mend)
