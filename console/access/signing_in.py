"""`/login` and `/logout`: plain forms that work without a script."""

from __future__ import annotations

import logging
import math

from flask import Blueprint, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from recordings.access import Action

from .door import Parts
from .guard import current_actor, public, visitor
from .identity import Identities
from .peers import Peers

log = logging.getLogger(__name__)


def create_blueprint(parts: Parts, identities: Identities, peers: Peers) -> Blueprint:
    """The routes. Each sign-in, right or wrong, is noted in the audit."""
    blueprint = Blueprint("access", __name__, template_folder="../templates")

    @blueprint.get("/login")
    @public
    def sign_in_page() -> ResponseReturnValue:
        return redirect(f"{request.script_root}/") if visitor() else _form()

    @blueprint.post("/login")
    @public
    def sign_in() -> ResponseReturnValue:
        address = peers.client_address(request.environ)
        wait = parts.people.throttle.allows(address)
        if wait:
            return _slow_down(wait)
        name, password = request.form.get("name", ""), request.form.get("password", "")
        actor = identities.check(name, password)
        if actor is None:
            parts.people.audit.note(identities.claimed(name), Action.SIGN_IN_FAILED)
            log.warning("A sign-in from %s was refused: wrong name or password.", address)
            return _form("This name and password do not fit. Try again, or ask an admin for a new password."), 403
        parts.people.throttle.succeeded(address)
        parts.people.audit.note(actor, Action.SIGN_IN)
        return redirect(identities.begin_session(actor), 303)

    @blueprint.post("/logout")
    def sign_out() -> ResponseReturnValue:
        parts.people.audit.note(current_actor(), Action.SIGN_OUT)
        identities.end_session()
        return redirect(url_for("access.sign_in_page"), 303)

    return blueprint


def _form(problem: str = "") -> str:
    return render_template("access/login.html", problem=problem)


def _slow_down(wait: float) -> ResponseReturnValue:
    minutes = math.ceil(wait / 60)
    problem = f"There were too many tries. Wait {minutes} minute{'s' if minutes > 1 else ''}, then try again."
    return _form(problem), 429, {"Retry-After": str(math.ceil(wait))}
