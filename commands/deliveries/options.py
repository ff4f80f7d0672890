"""The options that choose deliveries, which several of the commands share."""

from __future__ import annotations

import click

from commands.since import parse_since
from recordings.catalogue.inbox import OUTCOMES

outcome_option = click.option("--outcome", type=click.Choice(OUTCOMES), help="Only deliveries with this outcome.")
since_option = click.option(
    "--since", callback=parse_since, help="Only deliveries since a time: 2026-11-22, or 12h or 7d ago."
)
