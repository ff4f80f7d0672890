"""What `flask doctor` says about one thing: how bad it is, what was seen, and what to do about it.

What it says is pasted into issues: so whatever looks like a secret is masked here, wherever the text comes from,
and what a page or a terminal cannot hold is replaced.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from recordings.messages import presentable

if TYPE_CHECKING:
    from settings import SettingsError

OK, WARNING, ERROR = "ok", "warning", "error"


@dataclass(frozen=True, slots=True)
class DoctorFinding:
    """One line of `flask doctor`: `level` is `ok`, `warning` or `error`; `mend` says what to do, None where nothing."""

    level: str
    part: str
    message: str
    mend: str | None = None


def ok(part: str, message: str) -> DoctorFinding:
    """The part is as it should be."""
    return DoctorFinding(OK, part, presentable(message))


def warning(part: str, message: str, mend: str) -> DoctorFinding:
    """The part works, or may work; a person should look at it."""
    return DoctorFinding(WARNING, part, presentable(message), presentable(mend))


def error(part: str, message: str, mend: str) -> DoctorFinding:
    """As long as this lasts, recordings are not archived."""
    return DoctorFinding(ERROR, part, presentable(message), presentable(mend))


def settings_error(part: str, problem: SettingsError) -> DoctorFinding:
    """The part cannot be made because of a setting."""
    return error(part, f"{problem.fault}.", sentence(problem.mend))


def sentence(mend: str) -> str:
    """The mend of a `SettingsError`, or of a parser's ValueError, as a sentence of its own."""
    return mend[:1].upper() + mend[1:] + ("" if mend.endswith((".", "…")) else ".")
