"""Web servers on threads of this process, and the stranger that notes who shows it a token.

Here lives what is neither Vonage nor a call: starting and stopping a WSGI application on a loopback port.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

from werkzeug.serving import WSGIRequestHandler, make_server

from .shelf import Shelf

StartResponse = Callable[[str, list[tuple[str, str]]], Any]


class _Quiet(WSGIRequestHandler):
    """No access log: paths and ids belong to the tests, not to standard error."""

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        pass


class ServerThread:
    """A WSGI application on a port of its own, one thread a connection; a context manager.

    Port 0 takes any free port; one that is taken is an OSError. Werkzeug closes each connection after its reply: for
    kept-alive connections run the same application under gunicorn.
    """

    def __init__(self, app: Any, host: str = "127.0.0.1", port: int = 0) -> None:
        # Listening is done here: Werkzeug itself answers a port that is taken with sys.exit.
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        with socket.create_server((host, port), family=family, backlog=128) as listener:
            server = make_server(host, port, app, threaded=True, request_handler=_Quiet, fd=listener.fileno())
        self._server = server
        self._thread = threading.Thread(target=self._serve, name=f"simulator-{self._server.port}", daemon=True)
        self.origin = f"http://{f'[{host}]' if ':' in host else host}:{self._server.port}"

    def _serve(self) -> None:
        self._server.serve_forever(poll_interval=0.01)  # how long close() may take

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        """Stop listening. Replies under way go on on their own threads until their client or their fault ends them."""
        if self._thread.ident is None:  # never started: shutdown() would wait for ever
            self._server.server_close()
            return
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


@dataclass(frozen=True)
class Visit:
    """One request that reached the stranger; `authorization` is None when there was no such header."""

    path: str
    authorization: str | None = field(repr=False)

    @property
    def leaked(self) -> bool:
        """A token was given away."""
        return self.authorization is not None


class Stranger:
    """Another origin, not Vonage's: it serves the same audio to anybody, to tempt, and remembers each visit."""

    def __init__(self, shelf: Shelf) -> None:
        self._shelf = shelf
        self.visits: list[Visit] = []

    def __call__(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        path = environ["PATH_INFO"]
        self.visits.append(Visit(path, environ.get("HTTP_AUTHORIZATION")))
        file = self._shelf.find(path.rpartition("/")[2])
        if file is None:
            start_response("404 Not Found", [("Content-Length", "0")])
            return []
        start_response("200 OK", [("Content-Type", file.content_type), ("Content-Length", str(file.size))])
        return file.chunks()
