"""`flask notify list`: what people were told of, and the events for programs."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from itertools import chain
from typing import TYPE_CHECKING, Any, Protocol

import click

from commands.parts import show, with_parts
from recordings.catalogue.as_json import plain
from recordings.catalogue.outgoing import Progress

if TYPE_CHECKING:
    from recordings.catalogue.notices import NoticeState
    from recordings.catalogue.outgoing import OutgoingEvent
    from telling import Telling


class Parts(Protocol):
    """What this command uses."""

    @property
    def telling(self) -> Telling: ...


@click.command("list", short_help="What people and programs were told.")
@click.option("--state", type=click.Choice([state.value for state in Progress]), help="Only events in this state.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line; `to` is `people` or `program`.")
@with_parts
def command(parts: Parts, state: str | None, as_json: bool) -> None:
    """What people know to be wrong now, and the events for programs, oldest first.

    An event is `pending` until the program has taken it (tried for five days, with longer and longer waits), then
    `delivered`, or else `failed`: flask notify replay sends it once more. Events are kept for DELIVERY_RETENTION_DAYS.
    """
    telling = parts.telling
    states = [] if state else [known for known in telling.notices.everything() if known.number]
    events = telling.events.listing(state=Progress(state) if state else None)
    if as_json:
        for row in chain(map(_notice_row, states), map(_event_row, events)):
            click.echo(json.dumps(row))
    else:
        _show_tables(states, events)


def _notice_row(state: NoticeState) -> dict[str, Any]:
    known = {"recipient": state.recipient, "kind": state.kind.value, "number": state.number}
    times = {"since": plain(state.since), "told_at": plain(state.told_at)}
    return {"to": "people", **known, **times}


def _event_row(event: OutgoingEvent) -> dict[str, Any]:
    names = ("id", "message_id", "type", "subject", "created_at", "attempts", "due_at", "answer", "delivered_at")
    return {"to": "program", "state": event.state.value, **{name: plain(getattr(event, name)) for name in names}}


def _show_tables(states: list[NoticeState], events: Iterable[OutgoingEvent]) -> None:
    known = [[row.recipient, row.kind.value, row.number, _time(row.since), _time(row.told_at)] for row in states]
    sent = list(_event_lines(events))
    if not known and not sent:
        click.echo("No trouble was reported to people, and no event of this kind is kept.", err=True)
        return
    from tabulate import tabulate

    if known:
        show(tabulate(known, headers=["told", "trouble", "number", "since", "last told"], disable_numparse=True))
    if sent:
        headers = ["id", "created", "type", "recording or conversation", "state", "attempts", "answer"]
        show(tabulate(sent, headers=headers, disable_numparse=True))


def _event_lines(events: Iterable[OutgoingEvent]) -> Iterator[list[Any]]:
    for event in events:
        created, answer = _time(event.created_at), event.answer or "-"
        yield [event.id, created, event.type, event.subject, event.state.value, event.attempts, answer]


def _time(moment: datetime | None) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%SZ") if moment else "-"
