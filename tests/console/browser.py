"""A browser in this process, and a deployment with views to look at, for the tests of who may come in."""

from __future__ import annotations

import re

import pytest

from console.access import current_actor, require
from recordings.access import Actor, Role

PASSWORD = "correct horse battery"
OTHER = "another horse battery"
# What a page may load: a file of ours. No script stands in a page itself.
SCRIPT = r'<script (?:defer|type="module") src="(/[^"]+)"(?: nonce="[^"]+")?></script>'
BY = Actor("root", Role.ADMIN, None, "command")


class Browser:
    """A person's browser: it keeps cookies and sends the hidden field of the form that it was shown."""

    def __init__(self, deployment, **environ):
        self.client = deployment.app.test_client()
        self.environ = environ

    def get(self, path, **more):
        return self.client.get(path, environ_base=self.environ, **more)

    def token(self, path="/login"):
        found = re.search(r'name="csrf_token" value="([^"]+)"', self.get(path).get_data(as_text=True))
        return found and found[1]

    def post(self, path, token=None, headers=None, **fields):
        form = fields if token is None else fields | {"csrf_token": token}
        return self.client.post(path, data=form, headers=headers, environ_base=self.environ)

    def sign_in(self, name="admin", password=PASSWORD):
        return self.post("/login", self.token(), name=name, password=password)


@pytest.fixture
def opened(deploy):
    """`opened(**settings)`: a deployment with a few views to look at beside its pages."""

    def make(**settings):
        deployment = deploy(**settings)
        app = deployment.app

        @app.get("/me", endpoint="me")
        def me():
            actor = current_actor()
            return f"{actor.name} {actor.role.word} {actor.kind} {actor.address}"

        app.add_url_rule("/api/me", "api_me", me)
        for role in Role:
            view = require(role)(lambda: "done")
            app.add_url_rule(f"/{role.word}", role.word, view, methods=["GET", "POST"])
            app.add_url_rule(f"/api/{role.word}", f"api_{role.word}", view, methods=["GET", "POST"])
        return deployment

    return make


def noted(deployment):
    """(person, action, address) of each entry of the audit, oldest first."""
    entries = deployment.wiring.people.audit.entries()
    return [(entry.person, entry.action, entry.address) for entry in entries][::-1]
