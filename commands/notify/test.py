"""`flask notify test`: tell everybody who is to be told, now, and say what they answered."""

from __future__ import annotations

import sys
import uuid
from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Protocol

import click

from commands.parts import show, with_parts
from recordings.clock import utc_now
from recordings.errors import TapekeeperError

if TYPE_CHECKING:
    from recordings.care.notices import Addressee
    from settings import Settings
    from telling import Telling


class Parts(Protocol):
    """What this command uses."""

    @property
    def settings(self) -> Settings: ...
    @property
    def telling(self) -> Telling: ...


@click.command("test", short_help="Send a test to everybody who is told.")
@with_parts
def command(parts: Parts) -> None:
    """Send one notice to each address in NOTIFY_URLS and one signed event to EVENT_WEBHOOK_URL, and say what came back.

    The notice shows an example of each kind. The event is of the type `webhook.test`; it is not kept. An address is
    named by its service and a short hash, because it holds secrets.

    Exit code 1 when one did not take it, or when nobody is to be told.
    """
    attempts = list(_attempts(parts))
    if not attempts:
        raise click.ClickException("Nobody is told. Set NOTIFY_URLS for people, EVENT_WEBHOOK_URL for a program.")
    answers = [_was_sent(name, send) for name, send in attempts]
    sys.exit(0 if all(answers) else 1)


def _attempts(parts: Parts) -> Iterator[tuple[str, Callable[[], str]]]:
    """Each recipient's name, and what sends it a test and returns the answer."""
    telling = parts.telling
    if telling.notifier is not None:
        from recordings.care.notice_texts import compose_test

        title, text = compose_test(parts.settings.public_url, utc_now())
        for recipient in telling.notifier.recipients:
            yield recipient.name, partial(_tell, recipient, title, text)
    if telling.program is not None:
        from recordings.catalogue.outgoing import render

        program, body = telling.program, render("webhook.test", utc_now(), {})
        yield program.host, partial(program.send, f"msg_{uuid.uuid4().hex}", body)


def _tell(recipient: Addressee, title: str, text: str) -> str:
    recipient.send(title, text)
    return "sent"


def _was_sent(name: str, send: Callable[[], str]) -> bool:
    try:
        show(f"{name}: {send()}")
    except TapekeeperError as error:
        show(f"{name}: {error}", err=True)
        return False
    return True
