"""The session's cookie: signed with a key that all processes share, and never sent to another site.

The key lies in the catalogue and is read at the first request of a console page, so that a process starts, and answers
Vonage, while the database is away.
"""

from __future__ import annotations

from datetime import timedelta

from flask import Flask, Request, request, session
from flask.sessions import SecureCookieSession, SecureCookieSessionInterface, SessionMixin

from recordings.errors import CatalogueUnavailable

from .door import Parts, is_for_machines

IDLE = timedelta(hours=12)  # a session ends when nobody has asked for anything for so long
BY_ITSELF = "X-Asked-By-Itself"  # the header of a request that an open page makes without a person
_KEY = "session"


def configure_sessions(app: Flask, parts: Parts, public_url: str) -> None:
    """Set the cookie's name and attributes. Over https it gets the prefix that keeps other hosts from setting it.

    https://developer.mozilla.org/en-US/docs/Web/HTTP/Reference/Headers/Set-Cookie#cookie_prefixes
    """
    secure = public_url.startswith("https:")
    app.config.update(
        SESSION_COOKIE_NAME="__Host-tapekeeper" if secure else "tapekeeper",
        SESSION_COOKIE_SECURE=secure,
        SESSION_COOKIE_HTTPONLY=True,
        SESSION_COOKIE_SAMESITE="Lax",
        PERMANENT_SESSION_LIFETIME=IDLE,
    )
    app.session_interface = _Sessions(parts)


def require_session(app: Flask) -> None:
    """Raises `CatalogueUnavailable` where this request has no session, because its key could not be read."""
    if app.session_interface.is_null_session(session):
        raise CatalogueUnavailable("The key of the sessions cannot be read.")


class _Sessions(SecureCookieSessionInterface):
    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def open_session(self, app: Flask, request: Request) -> SecureCookieSession | None:
        """The session of a request for the console; none for machines, which have no use for it."""
        if is_for_machines(request.path):
            return None
        if app.secret_key is None:
            try:
                app.secret_key = self._parts.people.key(_KEY)
            except CatalogueUnavailable:  # no error is handled before there is a session: see `require_session`
                return None
        return super().open_session(app, request)

    def should_set_cookie(self, app: Flask, session: SessionMixin) -> bool:
        """As Flask decides; but only a person who opens a page makes the session last longer.

        An image, a piece of audio, or a look of an open page may arrive after the person has signed out, and would
        bring the session back. https://developer.mozilla.org/en-US/docs/Web/HTTP/Reference/Headers/Sec-Fetch-Dest
        """
        opens_a_page = request.headers.get("Sec-Fetch-Dest", "document") == "document"
        prolongs = session.modified or (opens_a_page and BY_ITSELF not in request.headers)
        return super().should_set_cookie(app, session) and prolongs
