"""How much room refused deliveries get: a number of rows and of bytes for each webhook and each worth.

Anybody can send what will be refused, so what is kept of it must fill no disk. No verdict on a delivery is found here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from types import MappingProxyType
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, delete, func, select

from .tables import REFUSED, deliveries

MAX_REFUSED_BODY = 64 * 1024  # bytes; real events have some hundreds
MAX_LIKELY = 8 * 1024  # bytes of body, query and token together: what is larger does not look like Vonage's

_MIB = 1024 * 1024
_DELETED_AT_ONCE = 500
_SLICE = 16  # the bytes are summed anew whenever this part of the quota has been written


class Worth(IntEnum):
    """How much a refused delivery looks like Vonage's. Anybody can imitate it, so each kind has a quota of its own."""

    UNLIKELY = 0
    LIKELY = 1  # the token is made as Vonage makes tokens, and fits the body
    RECORDING = 2  # the same, and the body announces a recording


@dataclass(frozen=True, slots=True)
class Quota:
    """The most rows and bytes that deliveries of one worth may have on one webhook."""

    rows: int
    size: int


# A real event takes about 1 KiB with its token. All three webhooks together: 120 MiB, of which rubbish has 12 MiB.
QUOTAS: Mapping[Worth, Quota] = MappingProxyType(
    {
        Worth.UNLIKELY: Quota(1_000, 4 * _MIB),
        Worth.LIKELY: Quota(20_000, 12 * _MIB),
        Worth.RECORDING: Quota(20_000, 24 * _MIB),
    }
)

_SIZE: ColumnElement[int] = (
    func.length(deliveries.c.body)
    + func.length(deliveries.c.query)
    + func.coalesce(func.length(deliveries.c.token), 0)
    + func.coalesce(func.length(deliveries.c.problem), 0)
)


class RefusedRoom:
    """Keeps the refused deliveries of one database within their quotas.

    To sum the bytes of many rows takes some milliseconds, so they are summed once in a while: each process may exceed
    the quota by a sixteenth until then.
    """

    def __init__(self, quotas: Mapping[Worth, Quota] = QUOTAS) -> None:
        self._quotas = quotas
        self._left: dict[tuple[str, Worth], int] = {}  # bytes that may be written before the next sum

    def keep_to(self, connection: Connection, row: Mapping[str, Any]) -> None:
        """Delete what is too much after this row, which was just inserted.

        Beyond the number of rows the oldest UNLIKELY deliveries are deleted. Of the other kinds the middle is deleted,
        so that the oldest half and the newest half of the quota stay: a flood of imitations can then push out neither
        the real deliveries that came before it, nor those that come after it. Beyond the bytes the largest are deleted,
        because Vonage's are small.
        """
        route, worth = row["route"], row["worth"]
        its_kind = and_(REFUSED, deliveries.c.route == route, deliveries.c.worth == worth)
        self._keep_to_rows(connection, its_kind, worth)
        size = sum(len(row[name] or "") for name in ("body", "query", "token", "problem"))
        left = self._left.get((route, worth), 0) - size
        if left < 0:
            left = self._keep_to_size(connection, its_kind, worth)
        self._left[route, worth] = left

    def _keep_to_rows(self, connection: Connection, its_kind: ColumnElement[bool], worth: Worth) -> None:
        quota = self._quotas[worth].rows
        count = connection.execute(select(func.count()).select_from(deliveries).where(its_kind)).scalar_one()
        if count > quota:
            newer = quota if worth is Worth.UNLIKELY else quota // 2
            after_these = select(deliveries.c.id).where(its_kind).order_by(deliveries.c.id.desc()).offset(newer)
            too_many = after_these.limit(min(count - quota, _DELETED_AT_ONCE))
            connection.execute(delete(deliveries).where(deliveries.c.id.in_(too_many)))

    def _keep_to_size(self, connection: Connection, its_kind: ColumnElement[bool], worth: Worth) -> int:
        """Delete the largest until a slice of the quota is free. Returns how many bytes may be written before the next
        sum."""
        quota = self._quotas[worth].size
        total = connection.execute(select(func.coalesce(func.sum(_SIZE), 0)).where(its_kind)).scalar_one()
        excess = int(total) - quota
        if excess > 0:
            excess -= self._delete_largest(connection, its_kind, worth, excess + quota // _SLICE)
        return min(-excess, quota // _SLICE)

    def _delete_largest(self, connection: Connection, its_kind: ColumnElement[bool], worth: Worth, wanted: int) -> int:
        """Delete deliveries of at least so many bytes, at most 500 of them. Returns how many bytes they had."""
        # Of equal size the oldest rubbish goes first, and else the newest: what came before a flood is likelier real.
        then = deliveries.c.id if worth is Worth.UNLIKELY else deliveries.c.id.desc()
        largest = select(deliveries.c.id, _SIZE.label("size")).where(its_kind).order_by(_SIZE.desc(), then)
        ids, freed = [], 0
        for row in connection.execute(largest.limit(_DELETED_AT_ONCE)):
            if freed >= wanted:
                break
            ids.append(row.id)
            freed += row.size
        connection.execute(delete(deliveries).where(deliveries.c.id.in_(ids)))
        return freed
