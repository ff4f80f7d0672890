"""What a notice says: what is wrong, how many, since when, and what to do. No phone number and no name stands in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import NamedTuple

from recordings.catalogue.piles import MOST
from recordings.catalogue.troubles import Trouble


class Change(StrEnum):
    """What has become of a trouble since the last notice."""

    BEGAN = "began"
    GREW = "grew"
    ENDED = "ended"


@dataclass(frozen=True, slots=True)
class Notice:
    """One kind of trouble: how many now, how many were told of before, and when it was first seen."""

    kind: Trouble
    change: Change
    number: int
    before: int
    since: datetime


class _Words(NamedTuple):
    single: str
    many: str
    over: str
    advice: str


_SENTENCES = {
    Trouble.IDLE: _Words(
        "1 copy waits, and no worker archives",
        "{} copies wait, and no worker archives",
        "a worker archives again",
        "Start a worker: flask worker, or the app itself with EMBEDDED_WORKER=true. If one runs, read its log. Nothing "
        "is lost yet: Vonage keeps a recording for 30 days. What waits: flask recordings list",
    ),
    Trouble.NEARING: _Words(
        "1 copy is not stored, and Vonage deletes its recording in less than 3 days",
        "{} copies are not stored, and Vonage deletes their recordings in less than 3 days",
        "no recording nears its deletion by Vonage unstored",
        "This is the most urgent trouble: after that the audio is gone. See why they are not stored, and mend it: "
        "flask doctor, flask recordings show UUID. Then: flask recordings retry UUID",
    ),
    Trouble.BLOCKED: _Words(
        "1 copy is blocked",
        "{} copies are blocked",
        "no copy is blocked",
        "A key, a permission or a bucket is wrong, and only a person can mend it. See which: flask doctor, "
        "flask recordings list --state blocked. After that they are tried within an hour, or at once: "
        "flask recordings retry UUID",
    ),
    Trouble.FAILED: _Words(
        "1 copy has failed",
        "{} copies have failed",
        "no copy is failed",
        "They are not tried again by themselves. See why: flask recordings list --state failed. After the mend: "
        "flask recordings retry UUID",
    ),
    Trouble.MISSING: _Words(
        "1 call brought no recording",
        "{} calls brought no recording",
        "no call lacks its recording",
        "They were told to record, and Vonage announced nothing. See which: flask recordings missing. See whether an "
        "event was refused: flask deliveries list --outcome refused. Vonage keeps the audio for 30 days",
    ),
}


def describe(kind: Trouble, number: int) -> tuple[str, str]:
    """What a trouble is, such as `1 copy is blocked`, and what to do about it."""
    sentences = _SENTENCES[kind]
    return sentences.single if number == 1 else sentences.many.format(_number(number)), f"{sentences.advice}."


def compose(notices: Sequence[Notice], public_url: str) -> tuple[str, str]:
    """The title and the text of one message that tells of all these. Without `public_url` it names no page."""
    ordered = sorted(notices, key=lambda notice: list(Trouble).index(notice.kind))
    urgent = [notice for notice in ordered if notice.change is not Change.ENDED]
    title = "; ".join(_fact(notice) for notice in urgent or ordered)
    if not urgent:
        title = f"well again: {title}"
    where = f" ({public_url})" if public_url else ""
    paragraphs = [_paragraph(notice, public_url) for notice in ordered]
    return f"Tapekeeper: {title}", "\n\n".join([*paragraphs, f"This message is from Tapekeeper{where}."])


def compose_test(public_url: str, now: datetime) -> tuple[str, str]:
    """The title and the text of a message that shows what each kind of notice looks like."""
    examples = [Notice(kind, Change.BEGAN, 1, 0, now) for kind in Trouble]
    _, text = compose(examples, public_url)
    return "Tapekeeper: a test, nothing is wrong", f"You asked for this test. Real notices look like these:\n\n{text}"


def _fact(notice: Notice) -> str:
    if notice.change is Change.ENDED:
        return _SENTENCES[notice.kind].over
    return describe(notice.kind, notice.number)[0]


def _paragraph(notice: Notice, public_url: str) -> str:
    sentences = _SENTENCES[notice.kind]
    since = notice.since.astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC")
    fact = _fact(notice)
    if notice.change is Change.ENDED:
        return f"{fact[0].upper()}{fact[1:]}. There was trouble since {since}; nothing is left to do about it."
    grown = f", {_number(notice.before)} of them at the last notice" if notice.change is Change.GREW else ""
    page = f"\nPage: {public_url}/" if public_url else ""
    return f"{fact[0].upper()}{fact[1:]} (since {since}{grown}).\n{sentences.advice}.{page}"


def _number(number: int) -> str:
    return f"{MOST - 1:,}+" if number >= MOST else f"{number:,}"
