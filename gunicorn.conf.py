"""gunicorn's settings: `gunicorn "wsgi:create_app()"` reads this file by itself. PORT and WEB_CONCURRENCY are its own.

The embedded worker starts here, after the fork: never in a command, a test or the arbiter.
"""

import logging
import os
import sys
from typing import Any

worker_class = "gthread"
threads = 16  # while some threads wait for a commit, others read the next events, and these are committed together
# Below the 30 s that Heroku leaves between SIGTERM and SIGKILL, and well above the 2 s that gunicorn waits for idle
# connections and the `STOP_SECONDS` that the engine takes for the copies in work.
# https://devcenter.heroku.com/articles/dynos#shutdown
graceful_timeout = 25
timeout = 60
accesslog = None
control_socket_disable = True


def on_starting(server: Any) -> None:
    """Check the settings once, in a child, so that a wrong one is one line and not a traceback for each worker."""
    child = os.fork()
    if child == 0:
        os._exit(_complaint())
    if os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 3:
        sys.exit(3)


def _complaint() -> int:
    from recordings.errors import TapekeeperError
    from settings import SettingsError
    from wsgi import create_app

    try:
        create_app()
    except (SettingsError, TapekeeperError) as error:
        print(f"tapekeeper cannot start: {error}", file=sys.stderr, flush=True)
        return 3
    except Exception:  # no fault of a setting: each worker shows it, with its traceback
        return 0
    return 0


def post_worker_init(worker: Any) -> None:
    """The app is loaded, and this process serves it, at addresses that only gunicorn knows."""
    from recordings.errors import InvalidInput

    extensions = worker.wsgi.extensions
    try:
        extensions["tapekeeper.demo_door"].open([listener.getsockname() for listener in worker.sockets])
    except InvalidInput as error:
        print(f"tapekeeper cannot start: {error}", file=sys.stderr, flush=True)
        sys.exit(3)
    extensions["tapekeeper"].start_embedded_worker()


def worker_exit(server: Any, worker: Any) -> None:
    """The requests are answered: let the copies in work finish or give them back, and close everything."""
    app = getattr(worker, "wsgi", None)
    if app is not None:
        app.extensions["tapekeeper"].close()
        logging.getLogger("tapekeeper").info("Stopped; nothing that was acknowledged is lost.")
