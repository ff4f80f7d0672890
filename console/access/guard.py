"""The guard before every view: the door is closed unless set up, strangers sign in first, forged requests are refused.

A view says with `require` which role it needs beyond viewer, and with `public` that strangers may see it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, NoReturn, ParamSpec, TypeVar

from flask import Flask, abort, g, redirect, request, session, url_for
from flask.typing import ResponseReturnValue
from flask_wtf import CSRFProtect
from werkzeug.datastructures import WWWAuthenticate

from recordings.access import Actor, Role

from .door import is_api, is_for_machines
from .identity import Identities, bearer
from .sessions import require_session

Params = ParamSpec("Params")
Result = TypeVar("Result")

_MAX_BODY = 1024 * 1024
_MAY = {
    Role.VIEWER: "sees recordings",
    Role.LISTENER: "hears and downloads recordings",
    Role.OPERATOR: "retries, replays and mends",
    Role.ADMIN: "manages accounts and tokens",
}


def current_actor() -> Actor:
    """The person or program that asks. 401 for a stranger."""
    actor = visitor()
    if actor is None:
        _refuse_stranger()
    return actor


def visitor() -> Actor | None:
    """The person or program that asks; None for a stranger."""
    actor: Actor | None = g.get("actor")
    return actor


def require(role: Role) -> Callable[[Callable[Params, Result]], Callable[Params, Result]]:
    """Let only those call a view, or a method of one, whose role includes this one. For the others it is a 403."""

    def decorate(view: Callable[Params, Result]) -> Callable[Params, Result]:
        @wraps(view)
        def guarded(*args: Params.args, **options: Params.kwargs) -> Result:
            actor = current_actor()
            if not actor.may(role):
                abort(
                    403,
                    f"This needs the role {role.word}, which {_MAY[role]}; yours is {actor.role.word}. "
                    "Ask an admin of this console for it.",
                )
            return view(*args, **options)

        return guarded

    return decorate


def public(view: Callable[Params, Result]) -> Callable[Params, Result]:
    """Let strangers see this view, once the door is open at all. It must be the outermost decorator of a view."""
    view.is_public = True  # type: ignore[attr-defined]
    return view


class Guard:
    """Looks at each request for the console before its view does."""

    def __init__(self, app: Flask, identities: Identities) -> None:
        self._app = app
        self._identities = identities
        self._csrf = CSRFProtect()

    def register(self) -> None:
        """Add the guard to the app.

        The token against forged requests lives as long as the session: a page that was open overnight still works. The
        Referer is not compared, since our own pages send none.
        """
        self._app.config.update(WTF_CSRF_CHECK_DEFAULT=False, WTF_CSRF_TIME_LIMIT=None, WTF_CSRF_SSL_STRICT=False)
        self._csrf.init_app(self._app)
        self._app.before_request(self._admit)

    def _admit(self) -> ResponseReturnValue | None:
        if is_for_machines(request.path):
            return None
        if not self._identities.door_is_open(request.path):
            g.door_is_closed = True
            abort(404)
        require_session(self._app)
        request.max_content_length = _MAX_BODY
        g.actor = self._identities.actor()
        view: Any = self._app.view_functions.get(request.endpoint or "")
        if view is None:
            return None  # there is nothing at this path, whoever asks
        if g.actor is None and not _is_public(view):
            return _ask_to_sign_in()
        if g.actor is None or g.actor.kind != "token":
            self._csrf.protect()
        return None


def _is_public(view: Any) -> bool:
    return getattr(view, "is_public", False) or (request.endpoint or "").rpartition(".")[2] == "static"


def _ask_to_sign_in() -> ResponseReturnValue:
    """Send a person who opens a page to the log-in page, and back afterwards. The wanted path is in no URL."""
    opens_a_page = request.method == "GET" and request.headers.get("Sec-Fetch-Mode", "navigate") == "navigate"
    if is_api(request.path) or bearer() is not None or not opens_a_page:
        _refuse_stranger()
    session["next"] = request.full_path.rstrip("?")
    return redirect(url_for("access.sign_in_page"))


def _refuse_stranger() -> NoReturn:
    abort(
        401,
        "Sign in first; a program sends Authorization: Bearer with a token that `flask tokens add` made.",
        www_authenticate=WWWAuthenticate("bearer"),
    )
