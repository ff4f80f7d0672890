"""The API as programs see it: a deployment with recorded calls, and a program for each role."""

from __future__ import annotations

import pytest

from recordings.access import Role
from tests.console.site import ADMIN, Site


class Program:
    """Sends requests with the token of this role; the path begins behind `/api`."""

    def __init__(self, deployment, role):
        self._client = deployment.app.test_client()
        tokens = deployment.wiring.people.tokens
        self.name = f"{role.word}-{len(tokens.list())}"
        self.token = tokens.create(self.name, role, by=ADMIN)

    def ask(self, method, path, *, headers=(), **more):
        """The reply, whose body is read."""
        sent = {"Authorization": f"Bearer {self.token}"} | dict(headers)
        with self._client.open(f"/api{path}", method=method, headers=sent, **more) as reply:
            reply.get_data()
            return reply

    def get(self, path, **more):
        return self.ask("GET", path, **more)

    def post(self, path, body=None, **more):
        return self.ask("POST", path, **({} if body is None else {"json": body}), **more)


class Api(Site):
    """`deployment`, its recorded calls, and programs with tokens."""

    def program(self, role=Role.ADMIN):
        return Program(self.deployment, role)

    def record(self, number="447700900001", **changes):
        """A call from this number was recorded; the number of its row."""
        return int(self.call(number, **changes).rpartition("/")[2])


@pytest.fixture
def api(deploy, vonage):
    return Api(deploy(RECORDING_HOSTS=vonage.origin), vonage)


@pytest.fixture
def admin(api):
    return api.program(Role.ADMIN)


def refusal(reply, status):
    """The message of an error, which has the one shape of all errors."""
    assert reply.status_code == status, reply.get_data(as_text=True)
    assert reply.mimetype == "application/json"
    error = reply.get_json()
    assert {"code", "status", "message"} <= set(error) <= {"code", "status", "message", "errors"}
    assert error["code"] == status
    return error["message"]
