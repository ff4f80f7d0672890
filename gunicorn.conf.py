"""gunicorn's settings: `gunicorn "wsgi:create_app()"` reads this file by itself. PORT and WEB_CONCURRENCY are its own.

The embedded worker starts here, after the fork: never in a command, a test or the arbiter. Where another configuration
file is used, it starts with a process's first request; see `serving.py`.
"""

import logging
import os
import signal
import sys
import time
from typing import Any

worker_class = "server.Worker"
threads = 48  # 16 for answers, 19 for events, 9 for pages, 2 each for monitors and metrics; 9 more for audio
# gunicorn's maximum. A GET of Vonage's has everything in its URL, also a caller's custom data.
limit_request_line = 8190
limit_request_field_size = 16380  # above a signed token, and above what proxies add
# Longer than nginx (60 s), Heroku (90 s) and Caddy (120 s) keep a connection to the app: so the proxy ends it, and no
# POST meets a closing connection. It would be lost, because a proxy does not send a POST again.
keepalive = 130
# Below the 30 s that Heroku leaves between SIGTERM and SIGKILL, and above the 2 s that gunicorn waits for idle
# connections and the `CLOSE_SECONDS` that the parts take: see `closing.py`. After that time gunicorn kills.
# https://devcenter.heroku.com/articles/dynos#shutdown
graceful_timeout = 25
# The last part of it, kept for closing: replies that are not finished by then are cut. Archiving ends while they are
# written.
_AFTER_REPLIES_SECONDS = 5
_LOAD_SECONDS = 20  # after a HUP, for the new processes to load the app
_LAST_SECONDS = 1.5  # of `graceful_timeout`: when they begin everything is closed
timeout = 60
accesslog = None
forwarder_headers = ""  # buildpacks let gunicorn trust every client: SCRIPT_NAME in a header would change our addresses
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
        print(f"tapekeeper cannot start: {error}", file=sys.stderr)
        print("Everything that is wrong is listed at once by: flask doctor", file=sys.stderr, flush=True)
        return 3
    except Exception:  # no fault of a setting: each worker shows it, with its traceback
        return 0
    return 0


def on_reload(server: Any) -> None:
    """Let the old processes serve until the new ones do.

    gunicorn itself ends them as soon as the new ones are forked: calls would wait until the app is loaded, and Vonage
    waits for 5 seconds. So the step that ends them, which follows this hook, waits first.
    """
    step, newest = server.manage_workers, server.worker_age

    def wait_and_end_the_old() -> None:
        server.manage_workers = step
        end = time.monotonic() + _LOAD_SECONDS
        new = [worker for worker in server.WORKERS.values() if worker.age > newest]
        while not all(_serves(worker) for worker in new) and time.monotonic() < end:
            time.sleep(0.05)
        step()

    server.manage_workers = wait_and_end_the_old


def _serves(worker: Any) -> bool:
    """Whether it tells that it lives: then it has loaded the app. Before that the file has the time of its making."""
    return bool(worker.tmp.last_update() <= time.monotonic())


def post_worker_init(worker: Any) -> None:
    """The app is loaded, and this process serves it, at addresses that only gunicorn knows."""
    from recordings.errors import InvalidInput

    extensions = worker.app.wsgi().extensions
    try:
        extensions["tapekeeper.demo_door"].open([listener.getsockname() for listener in worker.sockets])
    except InvalidInput as error:
        print(f"tapekeeper cannot start: {error}", file=sys.stderr, flush=True)
        sys.exit(3)
    wiring = extensions["tapekeeper"]
    wiring.start_embedded_worker()
    worker.stop_beside = wiring.stop_archiving
    worker.stop_seconds = worker.cfg.graceful_timeout
    worker.cfg.set("graceful_timeout", max(1, worker.stop_seconds - _AFTER_REPLIES_SECONDS))  # in this process alone
    usual: Any = signal.getsignal(signal.SIGTERM)

    def note_time(number: int, frame: Any) -> None:
        worker.stop_asked = time.monotonic()
        usual(number, frame)

    signal.signal(signal.SIGTERM, note_time)
    signal.siginterrupt(signal.SIGTERM, False)  # as gunicorn has it


def worker_exit(server: Any, worker: Any) -> None:
    """The requests are answered: let the copies in work finish or give them back, and close everything."""
    from closing import CLOSE_SECONDS

    app = worker.app.callable  # None: it was never loaded
    if app is not None:
        spent = time.monotonic() - getattr(worker, "stop_asked", time.monotonic())
        seconds = getattr(worker, "stop_seconds", graceful_timeout) - _LAST_SECONDS - spent
        app.extensions["tapekeeper"].close(min(CLOSE_SECONDS, seconds))
        logging.getLogger("tapekeeper").info("Stopped; nothing that was acknowledged is lost.")
