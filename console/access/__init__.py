"""Who may come in by the console's door, and as whom.

Every route is closed unless it says otherwise: without a sign-in nobody gets further than the log-in page, and a view
that needs more than the role viewer is decorated with `require`. The webhooks, the health routes and `/metrics` have
rules of their own, and nothing here touches them. What an account or a token is stands in `recordings.catalogue`.
"""

from __future__ import annotations

from flask import Flask

from .door import DemoDoor, DoorSettings, Parts
from .errors import fill_json, register_error_pages
from .guard import Guard, current_actor, public, require, visitor
from .headers import csp_nonce, register_headers
from .identity import Identities
from .peers import Peers
from .sessions import configure_sessions
from .signing_in import create_blueprint

__all__ = [
    "DoorSettings",
    "Parts",
    "csp_nonce",
    "current_actor",
    "fill_json",
    "public",
    "register",
    "require",
    "visitor",
]


def register(app: Flask, parts: Parts, chosen: DoorSettings) -> None:
    """Guard every route of the app's console, and add the log-in and log-out pages."""
    peers = Peers(chosen.auth_header, chosen.auth_proxies, chosen.proxy_hops)
    demo_door = app.extensions["tapekeeper.demo_door"] = DemoDoor(chosen.demo_door)
    identities = Identities(parts, chosen, peers, demo_door)
    configure_sessions(app, parts, chosen.public_url)
    identities.register(app)
    Guard(app, identities).register()
    register_headers(app)
    register_error_pages(app)
    app.register_blueprint(create_blueprint(parts, identities, peers))
    app.jinja_env.globals.update(csp_nonce=csp_nonce, visitor=visitor)
    setattr(app, "wsgi_app", peers.before(app.wsgi_app, chosen.public_url))  # noqa: B010 - mypy takes no assignment
