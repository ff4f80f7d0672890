"""What only a web process has: the routes of the doors, the embedded worker, and the checks of `/readyz`.

The worker and the checks must start after the server's last fork: under gunicorn the hook in `gunicorn.conf.py` starts
them, under servers that never fork they start at once, and under any other server with the first request. `wsgi` makes
`Serving`, and gives it the settings and the parts.
"""

from __future__ import annotations

import atexit
import logging
import os
import sys
import threading
from collections.abc import Callable, Mapping
from functools import cached_property, partial
from typing import TYPE_CHECKING, Protocol

import click
from flask import Flask
from flask.helpers import get_debug_flag
from werkzeug.serving import is_running_from_reloader

import settings as environment

if TYPE_CHECKING:
    from plugins.manager import Plugins
    from recordings.care.examination import Examination
    from recordings.care.readiness import Readiness
    from recordings.catalogue.database import Database
    from recordings.catalogue.inbox import Inbox
    from recordings.catalogue.missing import MissingCalls
    from recordings.catalogue.people import People
    from recordings.catalogue.schedule import Schedule
    from recordings.catalogue.workers import Workers
    from recordings.engine.embedded import EmbeddedWorker
    from recordings.engine.engine import Engine
    from recordings.engine.supervisor import Supervisor
    from recordings.storage import StorageBackend
    from settings import Settings
    from telling import Telling
    from webhooks.context import WebhookContext
    from webhooks.replay import Interpreter

# Servers that run the app in the process that imports it. Any other server may fork after the import, as gunicorn does
# with --preload and uWSGI without lazy-apps; the child would have none of the threads that we started before.
_NEVER_FORK = ("waitress", "cheroot", "mod_wsgi")
_STORAGE_SECONDS = 30.0  # between two checks of a storage: clouds bill each request

log = logging.getLogger(__name__)


class Parts(Protocol):
    """The parts that this module uses."""

    @property
    def settings(self) -> Settings: ...
    @property
    def database(self) -> Database: ...
    @property
    def people(self) -> People: ...
    @property
    def storages(self) -> Mapping[str, StorageBackend]: ...
    @property
    def schedule(self) -> Schedule: ...
    @property
    def missing(self) -> MissingCalls: ...
    @property
    def inbox(self) -> Inbox: ...
    @property
    def workers(self) -> Workers: ...
    @property
    def supervisor(self) -> Supervisor: ...
    @property
    def engine(self) -> Engine: ...
    @property
    def webhook_context(self) -> WebhookContext: ...
    @property
    def telling(self) -> Telling: ...
    @property
    def plugins(self) -> Plugins: ...
    @property
    def interpreter(self) -> Interpreter: ...
    def close(self) -> None: ...


class Serving:
    """The doors of one app, and what runs beside them in its process."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._guard = threading.Lock()
        self._pid: int | None = None
        self._begun: set[tuple[int, str]] = set()  # what was begun, each with its process

    # --- Routes ------------------------------------------------------------------------------------------------------

    def register_console(self, app: Flask) -> None:
        """Add the routes for browsers, programs and monitors, and the guard before them."""
        import console

        chosen = self._parts.settings
        # The readiness is made when it is asked for.
        console.register(
            app,
            self._parts,
            lambda: self.readiness,
            chosen,
            version=environment.VERSION,
            examination=lambda: self.examination,
        )

    def register_webhooks(self, app: Flask) -> None:
        """Add the routes for Vonage. Every part is made now, so that a wrong key, storage or plugin stops the start."""
        import webhooks

        app.register_blueprint(webhooks.create_blueprint(self._parts.webhook_context))
        self.embedded  # noqa: B018 - made now, like the doors' own parts
        self.readiness  # noqa: B018

    # --- What runs beside the requests -------------------------------------------------------------------------------

    def begin_with(self, app: Flask, context: click.Context | None) -> None:
        """Begin now where no fork can follow, else with the app's first request."""
        app.before_request_funcs.setdefault(None, []).insert(0, self.begin)  # the console's guard ends many a request
        if _never_forks(context):
            self.begin()

    def begin(self) -> None:
        """Start the worker and the checks in this process. Another call costs one comparison. Raises nothing."""
        if self._pid == os.getpid() or not self._guard.acquire(blocking=False):
            return
        try:
            self._begin()
            self._pid = os.getpid()
        except Exception:
            log.exception("Archiving could not begin in this process; the next request tries it again.")
        finally:
            self._guard.release()

    def _begin(self) -> None:
        self._once("telling", self._parts.telling.begin)
        self._once("archiving", self._begin_archiving)
        self._once("readiness", self.readiness.start)
        # gunicorn's `worker_exit` closes the parts; under any other server only this does.
        self._once("closing", lambda: atexit.register(self._parts.close))

    def _once(self, name: str, begin: Callable[[], object]) -> None:
        """Do this, unless it was done in this process: where one of them fails, the next request does only the rest."""
        if (os.getpid(), name) not in self._begun:
            begin()
            self._begun.add((os.getpid(), name))

    def _begin_archiving(self) -> None:
        if self._parts.settings.embedded_worker:
            self.embedded.start()
        else:
            log.warning(
                "This process (pid %d) does not archive: EMBEDDED_WORKER is false. Run flask worker beside it.",
                os.getpid(),
            )

    @cached_property
    def embedded(self) -> EmbeddedWorker:
        """The worker in this process, not started."""
        from recordings.engine.embedded import EmbeddedWorker

        parts, chosen = self._parts, self._parts.settings
        where = f"into {', '.join(chosen.storage_url)}, with {chosen.worker_threads} threads"
        lock = parts.database.worker_lock
        return EmbeddedWorker(parts.engine, parts.supervisor, parts.workers, parts.schedule, lock=lock, where=where)

    @cached_property
    def readiness(self) -> Readiness:
        """The checks behind `/readyz`, not started."""
        from recordings.care.checks import Archiving, database_works, storage_works, threads_run
        from recordings.care.readiness import PartCheck, Readiness
        from recordings.disk import reserve_of

        parts = self._parts
        archiving = Archiving(parts.workers, parts.schedule, lambda: self.embedded.problem)
        checks = [
            PartCheck("database", lambda: database_works(parts.database)),
            PartCheck("worker", archiving, soon=1.0),  # the worker of a fresh process signs before a warning is logged
            PartCheck("threads", lambda: threads_run(parts.supervisor.problems())),
        ]
        reserve = reserve_of(parts.settings.backend_env.get("STORAGE_RESERVE_MB", ""))
        for number, (url, backend) in enumerate(parts.storages.items(), 1):
            run = partial(storage_works, url, backend, reserve)
            checks.append(PartCheck(f"storage {number}", run, every=_STORAGE_SECONDS))
        return Readiness(checks, parts.supervisor.start)

    @cached_property
    def examination(self) -> Examination:
        """The look at everything that `flask doctor` takes, for an operator who has no shell."""
        from commands.doctor import findings
        from recordings.care.examination import Examination
        from recordings.catalogue.examinations import Examinations

        looks = Examinations(self._parts.database)
        return Examination(lambda: findings(self._parts), lambda: findings(self._parts, at_once=True), looks)

    def close(self) -> None:
        """Stop the checks. The embedded worker stops with the engine."""
        atexit.unregister(self._parts.close)
        if "readiness" in self.__dict__:
            self.readiness.stop()


def _never_forks(context: click.Context | None) -> bool:
    """Whether this very process will serve. `flask run` with its reloader serves in a child of this process."""
    if context is None:
        return any(name in sys.modules for name in _NEVER_FORK)
    reloads = context.params.get("reload")
    return is_running_from_reloader() or not (get_debug_flag() if reloads is None else reloads)
