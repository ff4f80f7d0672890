"""Which threads of a web process take a request, and how many of them each kind of request has.

So a caller's answer never waits for what events or pages wait for. Connections are in `server`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any
from urllib.parse import unquote

_ORIGIN = re.compile(r"^[a-z]+://[^/]*", re.IGNORECASE)
_SLASHES = re.compile(r"/+")


def lane_of(head: bytes) -> str:
    """Which threads take the request with this head: `answers`, `events`, `monitors`, `metrics`, `audio` or `pages`.

    `/metrics` asks the database: while that hangs, `/healthz` and `/readyz` must not wait behind it.
    """
    words = head.split(None, 2)
    target = unquote(words[1].decode("latin-1")) if len(words) > 1 else ""
    path = _ORIGIN.sub("", target.partition("?")[0])
    first, _, second = _SLASHES.sub("/", path).strip("/").partition("/")
    if first == "webhooks":
        return "answers" if second.partition("/")[0] in ("answer", "fallback") else "events"
    if second.rpartition("/")[2].partition(".")[0] in ("audio", "download", "export"):  # long replies
        return "audio"
    return {"healthz": "monitors", "readyz": "monitors", "metrics": "metrics"}.get(first, "pages")


class Lanes:
    """The threads of each kind of request.

    A request whose lane is full waits in the lane's queue, without a thread. An event whose turn comes too late finds
    its deadline passed, and is refused at once.
    """

    def __init__(self, threads: int) -> None:
        shares = {"answers": 3, "pages": 5, "monitors": 24, "metrics": 24}
        sizes = {name: max(1, threads // share) for name, share in shares.items()}
        sizes["events"] = max(1, threads - sum(sizes.values()))
        sizes["audio"] = sizes["pages"]  # beyond `threads`: they wait most of the time, for whoever listens
        self._pools = {name: ThreadPoolExecutor(size, thread_name_prefix=name) for name, size in sizes.items()}

    def submit(self, handle: Callable[[Any], Any], conn: Any) -> Future[Any]:
        """Run `handle(conn)` in a thread of the connection's lane."""
        return self._pools[conn.lane].submit(handle, conn)

    def shutdown(self, wait: bool = True) -> None:
        """Take no more requests."""
        for pool in self._pools.values():
            pool.shutdown(wait=wait)
