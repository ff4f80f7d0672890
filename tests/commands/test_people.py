"""`flask accounts …` and `flask tokens …`."""

from __future__ import annotations

import os
import pty
import sys
import threading
from pathlib import Path

import pytest
from click.testing import CliRunner
from flask.cli import FlaskGroup

from recordings.access import Role
from wsgi import create_app

ROOT = Path(__file__).resolve().parents[2]
PASSWORD = "correct horse battery"


@pytest.fixture
def piped(deploy):
    """`piped(text, *words)`: a command that gets this text on stdin."""

    def run(text, *words):
        group = FlaskGroup(create_app=lambda: create_app(deploy().environ), load_dotenv=False)
        return CliRunner().invoke(group, words, input=text, prog_name="flask")

    return run


def notes(deployment):
    """(action, detail, kind) of each entry of the audit, oldest first."""
    return [(e.action, e.detail, e.kind) for e in deployment.wiring.people.audit.entries()][::-1]


def test_an_account_is_added_changed_listed_and_removed(deploy, piped):
    deployment = deploy()
    accounts = deployment.wiring.people.accounts
    added = piped(f"{PASSWORD}\n", "accounts", "add", "Anna", "--role", "listener", "--password-stdin")
    assert (added.exit_code, added.stdout) == (0, "anna may sign in as listener.\n")
    assert accounts.check("anna", PASSWORD).role is Role.LISTENER
    assert deployment.run("accounts", "role", "anna", "admin").exit_code == 0
    assert piped("another horse battery", "accounts", "password", "anna", "--password-stdin").exit_code == 0
    assert accounts.check("anna", "another horse battery").role is Role.ADMIN
    assert deployment.run("accounts", "add", "bob", "--no-password").exit_code == 0
    listed = deployment.objects("accounts", "list")
    assert [(row["name"], row["role"], row["has_password"]) for row in listed] == [
        ("anna", "admin", True),
        ("bob", "viewer", False),
    ]
    assert "single sign-on" in deployment.run("accounts", "list").stdout
    assert deployment.run("accounts", "remove", "anna").exit_code == 0
    assert accounts.find("anna") is None
    assert notes(deployment) == [
        ("account added", "anna, listener", "command"),
        ("account role changed", "anna, admin", "command"),
        ("account password changed", "anna", "command"),
        ("account added", "bob, viewer", "command"),
        ("account removed", "anna", "command"),
    ]


def test_a_token_is_shown_once_listed_without_itself_and_revoked(deploy):
    deployment = deploy()
    tokens = deployment.wiring.people.tokens
    added = deployment.run("tokens", "add", "Grafana", "--role", "operator")
    token = added.stdout.strip()
    assert "not shown again" in added.stderr
    assert "never" in deployment.run("tokens", "list").stdout
    assert tokens.find(token).role is Role.OPERATOR
    (row,) = deployment.objects("tokens", "list")
    assert (row["name"], row["role"]) == ("grafana", "operator")
    assert row["last_used_at"]
    assert token[3:] not in deployment.run("tokens", "list").stdout + str(row)
    assert deployment.run("tokens", "revoke", "grafana").exit_code == 0
    assert tokens.find(token) is None
    (other,) = deployment.objects("tokens", "add", "ci")
    assert tokens.find(other["token"]).role is Role.VIEWER
    assert [action for action, *_ in notes(deployment)] == ["token added", "token revoked", "token added"]


def test_without_any_the_lists_say_how_to_add_one(deploy):
    for kind in ("accounts", "tokens"):
        result = deploy().run(kind, "list")
        assert (result.exit_code, result.stdout) == (0, "")
        assert f"flask {kind} add NAME" in result.stderr


@pytest.mark.parametrize(
    ("words", "text", "exit_code", "says"),
    [
        (("accounts", "add", "anna", "--password-stdin"), "short\n", 1, "12 to 1000 characters"),
        (("accounts", "add", "anna", "--password-stdin"), "", 1, "12 to 1000 characters"),
        (("accounts", "add", "a b", "--password-stdin"), f"{PASSWORD}\n", 1, "A name has"),
        (("accounts", "add", "admin", "--password-stdin"), f"{PASSWORD}\n", 1, "CONSOLE_PASSWORD"),
        (("accounts", "add", "anna"), f"{PASSWORD}\n", 2, "--password-stdin"),
        (("accounts", "add", "anna", "--password-stdin", "--no-password"), "", 2, "exclude each other"),
        (("accounts", "add", "anna", "--role", "root"), "", 2, "viewer"),
        (("accounts", "role", "anna", "root"), "", 2, "listener"),
        (("accounts", "role", "anna", "admin"), "", 1, "flask accounts list"),
        (("accounts", "remove", "anna"), "", 1, "flask accounts list"),
        (("accounts", "password", "anna", "--password-stdin"), f"{PASSWORD}\n", 1, "flask accounts list"),
        (("tokens", "add", "a,b"), "", 1, "A name has"),
        (("tokens", "revoke", "nobody"), "", 1, "flask tokens list"),
    ],
)
def test_what_cannot_be_done_is_said_without_a_traceback(deploy, piped, words, text, exit_code, says):
    result = piped(text, *words)
    assert result.exit_code == exit_code
    assert says in result.stderr
    assert PASSWORD not in result.output
    assert "Traceback" not in result.output


def test_at_a_terminal_the_password_is_asked_for_twice_and_not_shown(deploy, bare_environ):
    deployment = deploy()
    env = bare_environ | deployment.environ
    child, terminal = pty.fork()
    if child == 0:
        os.chdir(ROOT)
        os.execve(sys.executable, [sys.executable, "-m", "flask", "accounts", "add", "anna"], env)
    shown, watchdog = b"", threading.Timer(60, os.kill, (child, 9))
    watchdog.start()
    for prompt in (b"Password: ", b"once more: "):
        while prompt not in shown:
            shown += os.read(terminal, 1024)
        os.write(terminal, f"{PASSWORD}\n".encode())
    try:
        while piece := os.read(terminal, 1024):
            shown += piece
    except OSError:  # Linux: the other end is closed
        pass
    _, status = os.waitpid(child, 0)
    watchdog.cancel()
    assert os.waitstatus_to_exitcode(status) == 0, shown
    assert PASSWORD.encode() not in shown
    assert deployment.wiring.people.accounts.check("anna", PASSWORD).role is Role.VIEWER
