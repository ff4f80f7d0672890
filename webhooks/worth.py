"""How much a refused delivery looks like Vonage's: what is most likely real is kept longest.

The signature's secret is not needed for it, so anybody can imitate what is asked for here. It is no proof of anything.
"""

from __future__ import annotations

from recordings.catalogue.inbox import MAX_LIKELY, Worth
from recordings.model import Announcement, Delivery

from .payload import NotUnderstood, read_event
from .shapes import understand
from .signature import Verifier


def worth_of(verifier: Verifier, delivery: Delivery) -> Worth:
    """`LIKELY` with a token as Vonage makes them, which is new and fits the body; `RECORDING` if it announces one."""
    headers = {"Authorization": delivery.authorization}
    if len(delivery.body) + len(delivery.query) + len(delivery.authorization) > MAX_LIKELY:
        return Worth.UNLIKELY
    if not verifier.resembles(delivery.method, headers, delivery.query, delivery.body):
        return Worth.UNLIKELY
    try:
        events = understand(read_event(delivery.method, delivery.query, delivery.body), delivery.route)
    except NotUnderstood:
        return Worth.LIKELY
    return Worth.RECORDING if any(isinstance(event, Announcement) for event in events) else Worth.LIKELY
