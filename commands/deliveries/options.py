"""The options that choose deliveries, which several of the commands share."""

from __future__ import annotations

from typing import Any

import click

from commands.since import parse_since
from recordings.catalogue.inbox import OUTCOMES

outcome_option = click.option("--outcome", type=click.Choice(OUTCOMES), help="Only deliveries with this outcome.")
since_option = click.option(
    "--since", callback=parse_since, help="Only deliveries since a time: 2026-11-22, or 12h or 7d ago."
)


class DeliveryNumber(click.ParamType[int]):
    """The number of a delivery in the inbox."""

    name = "number"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        text = str(value)
        if not (text.isascii() and text.isdecimal() and 0 < int(text) < 2**63):
            self.fail(f"{text!r} is no number of a delivery. The first column of flask deliveries list has them.")
        return int(text)
