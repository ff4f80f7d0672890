"""gunicorn's settings: `gunicorn "wsgi:create_app()"` reads this file by itself. PORT and WEB_CONCURRENCY are its own.

The embedded worker starts here, after the fork: never in a command, a test or the arbiter.
"""

import os
import sys
from typing import Any

worker_class = "gthread"
threads = 16  # events that come while others are being committed are read meanwhile, and are the next to be committed
# Below Heroku's 30 s between SIGTERM and SIGKILL, and well above the 18 s that running copies get to finish.
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
    except Exception:  # each worker will show it, with its traceback
        return 0
    return 0


def post_worker_init(worker: Any) -> None:
    """The app is loaded and this process is the one that will serve it."""
    worker.wsgi.extensions["tapekeeper"].start_embedded_worker()


def worker_exit(server: Any, worker: Any) -> None:
    """The requests are done; the copies in work get their time."""
    app = getattr(worker, "wsgi", None)
    if app is not None:
        app.extensions["tapekeeper"].stop()
