"""How much a refused delivery looks like Vonage's: deliveries that are most likely real are kept longest.

What is checked here needs no secret, so anybody can imitate it: it proves nothing.
"""

from __future__ import annotations

from recordings.catalogue.quotas import MAX_LIKELY, Worth
from recordings.model import Announcement, Delivery

from .payload import NotUnderstood, read_event
from .shapes import understand
from .signature import Verifier


def worth_of(verifier: Verifier, delivery: Delivery) -> Worth:
    """`LIKELY`: the token is made as Vonage makes tokens, is new, and fits the body.

    `RECORDING`: the body also announces one.
    """
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
