"""`/attention`: what needs a hand, in piles; and the order for a whole pile, which names its number and asks first.

What a pile is and what an order does is decided in `recordings.care.attention`; here are the words about it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from datetime import datetime
from itertools import islice
from typing import Any

from flask import Blueprint, abort, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from console.access import current_actor, require
from recordings.access import Action, Role
from recordings.care.attention import AT_ONCE, Attention, Done, Kind
from recordings.catalogue import piles
from recordings.catalogue.piles import Pile
from recordings.catalogue.search import RecordingFilter
from recordings.masking import masked
from recordings.model import State

from .links import Links
from .parts import Parts
from .pile_words import NOTED, WORDS, result

_PILE = "/attention/<any(blocked, failed, missing, conflicts, refused):kind>"
_ROWS = 20
_LARGEST = 2**63


def add_routes(blueprint: Blueprint, parts: Parts, links: Links) -> None:
    """All piles, one pile, and the order for one."""
    attention = Attention(parts)

    @blueprint.get("/attention")
    def all_attention() -> ResponseReturnValue:
        shown = [(kind, WORDS[kind], attention.pile(kind)) for kind in Kind]
        return render_template("pages/attention.html", piles=shown, errors=_errors(parts))

    @blueprint.get(_PILE)
    def one_attention(kind: str) -> ResponseReturnValue:
        after = links.opened(request.args, "pages.one_attention").get("after", 0)
        return render_template("pages/pile.html", **_shown(parts, links, attention, Kind(kind), after))

    @blueprint.post(_PILE)
    @require(Role.OPERATOR)
    def order_attention(kind: str) -> ResponseReturnValue:
        chosen, (number, upto, after) = Kind(kind), _order(request.form)
        parts.people.audit.note(current_actor(), Action(NOTED[chosen]), detail=WORDS[chosen].counted(number))
        done = attention.carry_out(chosen, after=after, upto=upto, most=number)
        flash(result(chosen, done))
        return redirect(_next(links, attention, chosen, done), 303)


def _order(form: Mapping[str, str]) -> tuple[int, int, int]:
    """The number of rows, the newest of them, and the row after which they begin, as the form holds them."""
    texts = [form.get(name, "") for name in ("number", "upto", "after")]
    numbers = [int(text) if text.isascii() and text.isdecimal() and len(text) < 20 else -1 for text in texts]
    if min(numbers) < 0 or numbers[0] == 0 or max(numbers) >= _LARGEST:
        abort(400, "The form is not whole. Load the page with what needs a hand again, and press the button there.")
    return numbers[0], numbers[1], numbers[2]


def _next(links: Links, attention: Attention, kind: Kind, done: Done) -> str:
    """The pile once more while a part of it is left, else all piles."""
    rest = attention.pile(kind, done.last).number
    where = {"after": done.last} if done.last and done.failed else {}
    return links.sealed("pages.one_attention", where, kind=kind.value) if rest else url_for(".all_attention")


def _errors(parts: Parts) -> Mapping[Kind, list[tuple[str, int]]]:
    """What the copies' last attempts say, most frequent first. What differs only in a secret is one error."""
    shown = {}
    for kind in (Kind.BLOCKED, Kind.FAILED):
        numbers = Counter[str]()
        for error, number in piles.errors_in(parts.database, State(kind.value)):
            numbers[masked(error)] += number
        shown[kind] = numbers.most_common()
    return shown


def _shown(parts: Parts, links: Links, attention: Attention, kind: Kind, after: int) -> dict[str, Any]:
    pile = attention.pile(kind, after)
    return {
        "kind": kind,
        "words": WORDS[kind],
        "pile": pile,
        "after": after,
        "number": min(pile.number, AT_ONCE[kind]),
        "may_order": current_actor().may(Role.OPERATOR),
        "errors": _errors(parts).get(kind, []),
        **_rows(parts, links, attention, kind, after, pile),
    }


def _rows(parts: Parts, links: Links, attention: Attention, kind: Kind, after: int, pile: Pile) -> dict[str, Any]:
    """Some of what is in the pile: calls, deliveries, or the address of the list of its recordings."""
    if kind is Kind.MISSING:
        calls = islice(parts.missing.listing(since=attention.missing_since), _ROWS)
        return {"calls": [(call, datetime.fromisoformat(call.params["answered_at"])) for call in calls]}
    if kind in (Kind.BLOCKED, Kind.FAILED):
        return {"list_link": links.to_filter(RecordingFilter(states=(State(kind.value),)))}
    read = piles.refused_rows if kind is Kind.REFUSED else piles.conflict_rows
    return {"deliveries": read(parts.database, after=after, upto=pile.newest, most=_ROWS)}
