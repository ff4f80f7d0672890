"""As whom a request comes: by a token, a single sign-on proxy, a session, or the demo's open door, in this order.

The only module that knows Flask-Login. Whoever shows a token is never taken for whom the browser's session names: a
token makes the check for forged requests needless, so it must be the one thing that counts.
"""

from __future__ import annotations

import hashlib
import hmac
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import flask_login
from flask import Flask, Request, current_app, request, session

from console.tokens import holds_token
from recordings.access import Actor, Role, clean_name
from recordings.catalogue.accounts import RESERVED, Account
from recordings.catalogue.sessions import LONGEST
from recordings.errors import InvalidInput

from .door import DemoDoor, DoorSettings, Parts, is_api, is_loopback
from .peers import Peers

_SESSION = "id"  # what the cookie names its session by
_STRANGER = "unknown"


@dataclass(frozen=True)
class _User(flask_login.UserMixin):  # type: ignore[misc]
    actor: Actor
    generation: str = ""

    def get_id(self) -> str:
        """What the session keeps."""
        return f"{self.generation}:{self.actor.name}"


class Identities:
    """Finds the actor of a request, and begins and ends sessions. Raises `CatalogueUnavailable`."""

    def __init__(
        self,
        parts: Parts,
        chosen: DoorSettings,
        peers: Peers,
        demo_door: DemoDoor,
        *,
        seconds: Callable[[], float] = time.time,
    ) -> None:
        self._parts = parts
        self._chosen = chosen
        self._demo_door = demo_door
        self._peers = peers
        self._seconds = seconds

    def register(self, app: Flask) -> None:
        """Set Flask-Login up. Of its cookie that remembers people nothing is used."""
        app.config.update(REMEMBER_COOKIE_NAME="tapekeeper-unused", SESSION_PROTECTION=None)
        manager = flask_login.LoginManager()
        manager.init_app(app, add_context_processor=False)  # a page of an error must not look for the actor once more
        manager.user_loader(self._of_session)
        manager.request_loader(self._of_request)

    def door_is_open(self, path: str) -> bool:
        """Whether anybody could come in at all: people everywhere, programs where the API is."""
        chosen, people = self._chosen, self._parts.people
        if chosen.console_password or chosen.auth_header or self._demo_door.is_open or people.accounts.any():
            return True
        return is_api(path) and (bool(chosen.api_tokens) or people.tokens.any())

    def actor(self) -> Actor | None:
        """The actor of this request; None for a stranger, and for whoever shows a token that is none of ours."""
        user = flask_login.current_user
        return user.actor if user.is_authenticated else None

    def check(self, name: str, password: str) -> Actor | None:
        """The actor, if this is the right password. Every wrong answer takes as long as the right one."""
        account = self._parts.people.accounts.check(name, password)
        expected = self._chosen.console_password
        same = hmac.compare_digest(_encoded(password), _encoded(expected)) and bool(expected)
        if _known(name) == RESERVED:
            return self._person(RESERVED, Role.ADMIN) if same else None
        return self._person(account.name, account.role) if account else None

    def claimed(self, name: str) -> Actor:
        """Whom a failed sign-in is noted under. People type passwords into the wrong field: only a known name is."""
        known = _known(name)
        account = self._parts.people.accounts.find(name)
        if account is None and not (known == RESERVED and self._chosen.console_password):
            known = _STRANGER
        return self._person(known, Role.VIEWER)

    def begin_session(self, actor: Actor) -> str:
        """Begin a new session in place of the former one. Returns the path that the person wanted to see before."""
        wanted = str(session.get("next", "/"))
        self.end_session()
        session.permanent = True
        session[_SESSION] = self._parts.people.sessions.new_id()
        session["since"] = self._seconds()
        flask_login.login_user(_User(actor, self._generation(actor.name, self._account(actor.name))))
        return request.script_root + wanted

    def end_session(self) -> None:
        """Forget who signed in. A copy of the cookie, wherever it lies, opens nothing from now on."""
        if _SESSION in session:
            self._parts.people.sessions.end(session[_SESSION])
        session.clear()

    # --- The four ways ------------------------------------------------------------------------------------------------

    def _of_session(self, session_id: str) -> _User | None:
        if bearer() is not None or self._peers.asserted_name(request.environ) is not None:
            return None
        generation, _, name = session_id.partition(":")
        account = self._account(name)
        current = self._generation(name, account)
        if not current or not hmac.compare_digest(current.encode(), generation.encode()) or self._is_over():
            return None
        return _User(self._person(name, account.role if account else Role.ADMIN), generation)

    def _is_over(self) -> bool:
        """Whether the session of this request is too old, or its person has signed out."""
        age = self._seconds() - session.get("since", 0)
        is_old = age >= LONGEST.total_seconds() or _SESSION not in session  # a cookie of a former version has no name
        return is_old or self._parts.people.sessions.has_ended(session[_SESSION])

    def _of_request(self, _: Request) -> _User | None:
        token = bearer()
        if token is not None:
            actor = self._of_token(token)
        elif (name := self._peers.asserted_name(request.environ)) is not None:
            account = self._parts.people.accounts.find(name)
            role = account.role if account else Role.of(self._chosen.auth_role)
            actor = Actor(name, role, self._address(), "proxy")
        elif self._demo_door.is_open and is_loopback(request.host.rpartition(":")[0].strip("[]") or request.host):
            # The name in the address is looked at, so that no page elsewhere can point its own name here.
            actor = Actor("demo", Role.ADMIN, self._address(), "demo")
        else:
            actor = None
        return None if actor is None else _User(actor)

    def _of_token(self, text: str) -> Actor | None:
        if holds_token(request.headers["Authorization"], self._chosen.api_tokens):
            return Actor("API_TOKENS", Role.VIEWER, self._address(), "token")
        token = self._parts.people.tokens.find(text)
        return None if token is None else Actor(token.name, token.role, self._address(), "token")

    def _person(self, name: str, role: Role) -> Actor:
        return Actor(name, role, self._address(), "account")

    def _address(self) -> str:
        return self._peers.client_address(request.environ)

    def _account(self, name: str) -> Account | None:
        """The account of this name; None for whoever signs in by CONSOLE_PASSWORD, and where there is none."""
        return None if name == RESERVED else self._parts.people.accounts.find(name)

    def _generation(self, name: str, account: Account | None) -> str:
        """What a session of this person must name; "" when there is no such person.

        Of CONSOLE_PASSWORD it is a hash with the secret key, so that nobody can try passwords against a cookie.
        """
        if name != RESERVED:
            return account.generation if account else ""
        if not self._chosen.console_password:
            return ""
        key: Any = current_app.secret_key
        return hmac.new(key, b"CONSOLE_PASSWORD " + _encoded(self._chosen.console_password), hashlib.sha256).hexdigest()


def bearer() -> str | None:
    """The token that the request shows; None when it shows none."""
    scheme, _, token = request.headers.get("Authorization", "").strip().partition(" ")
    return token.strip() if scheme.lower() == "bearer" else None


def _known(name: str) -> str:
    try:
        return clean_name(name)
    except InvalidInput:
        return ""


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")
