"""`/`: whether all is well, and if it is not, what needs attention and how; then how much there is of everything."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from flask import Blueprint, render_template
from flask.typing import ResponseReturnValue

from console.access import current_actor
from recordings.access import Role
from recordings.care.attention import Attention, Kind
from recordings.care.notice_texts import describe
from recordings.care.readiness import Readiness, Report
from recordings.catalogue.daily import recordings_since
from recordings.catalogue.search import RecordingFilter
from recordings.catalogue.stats import DAYS, Totals, totals
from recordings.catalogue.troubles import Trouble, Troubles
from recordings.clock import utc_now
from recordings.model import COPY_STATES, State

from .links import Links
from .parts import Parts
from .pile_words import WORDS
from .plot import OUTCOMES, plot

_FOR_OPERATORS = "An operator of this console sees why, and so does whoever reads the log."
_LISTS = {
    Trouble.IDLE: RecordingFilter(states=(State.PENDING, State.WAITING)),
    Trouble.NEARING: RecordingFilter(states=tuple(state for state in COPY_STATES if state is not State.STORED)),
    Trouble.BLOCKED: RecordingFilter(states=(State.BLOCKED,)),
    Trouble.FAILED: RecordingFilter(states=(State.FAILED,)),
}


@dataclass(frozen=True, slots=True)
class Need:
    """Something that needs attention: what it is, what to do, its recordings, and the pile for orders."""

    fact: str
    advice: str
    link: str | None = None
    pile: Kind | None = None


def add_routes(blueprint: Blueprint, parts: Parts, readiness: Callable[[], Readiness], links: Links) -> None:
    """The one page."""

    @blueprint.get("/")
    def overview() -> ResponseReturnValue:
        looking = readiness()
        looking.start()
        return render_template("pages/overview.html", **_shown(parts, looking.report(), links))


def _shown(parts: Parts, report: Report, links: Links) -> dict[str, Any]:
    troubles, now = Troubles(parts.database), utc_now()
    counted = totals(parts.database)
    day = recordings_since(parts.database, now - timedelta(days=1))
    return {
        "needs": [*_needs(troubles.count(), report, links), *_deliveries(Attention(parts))],
        "starting": report.unknown,
        "totals": counted,
        "storages": _storages(counted, parts),
        "states": COPY_STATES,
        "deletion": troubles.next_deletion(),
        "workers": parts.workers.living(),
        "now": now,
        "flow": [(name, sum(day.get(state, 0) for state in outcome)) for name, outcome in OUTCOMES.items()],
        "came": sum(day.values()),
        "empty": day.get(State.EMPTY, 0),
        "plot": plot(counted.days, now.date(), DAYS),
        "outcomes": list(OUTCOMES),
    }


def _needs(counts: Mapping[Trouble, int], report: Report, links: Links) -> Iterator[Need]:
    """The most urgent need first. That nobody archives is said once, though two parts of the program see it."""
    is_operator = current_actor().may(Role.OPERATOR)
    for part, sentence in report.problems.items():
        if not (part == "worker" and counts[Trouble.IDLE]):
            yield Need(f"The {part} cannot be used", sentence if is_operator else _FOR_OPERATORS)
    for kind, number in counts.items():
        if number:
            chosen = _LISTS.get(kind)
            pile = Kind(kind.value) if kind.value in set(Kind) else None
            fact, advice = describe(kind, number)
            link = links.to_filter(chosen) if chosen else None
            yield Need(fact, WORDS[pile].mend if pile else advice, link, pile)
    for part, sentence in report.warnings.items():
        yield Need(f"The {part} needs a look", sentence if is_operator else _FOR_OPERATORS)


def _deliveries(attention: Attention) -> Iterator[Need]:
    """What Vonage has sent in vain."""
    for kind in (Kind.CONFLICTS, Kind.REFUSED):
        number = attention.pile(kind).number
        if number:
            yield Need(
                f"There {'is' if number == 1 else 'are'} {WORDS[kind].counted(number)}", WORDS[kind].mend, pile=kind
            )


def _storages(counted: Totals, parts: Parts) -> list[tuple[str, list[int], int]]:
    """For each storage, the former ones last: its copies in each state, and the bytes that are stored in it."""
    return [
        (
            storage,
            [counted.copies.get((storage, state), 0) for state in COPY_STATES],
            counted.bytes.get((storage, State.STORED), 0),
        )
        for storage in (*parts.storages, *counted.former(parts.storages))
    ]
