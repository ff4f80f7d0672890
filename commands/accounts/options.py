"""What the commands on accounts and tokens share: the parts, the roles, and how a password is read."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Protocol

import click

from recordings.access import Role

if TYPE_CHECKING:
    from recordings.catalogue.people import People

ROLES = click.Choice([role.word for role in Role], case_sensitive=False)
ABOUT_ROLES = (
    "A `viewer` sees recordings, a `listener` also hears and downloads them, an `operator` also retries, replays and "
    "mends, an `admin` also manages accounts and tokens."
)

stdin_option = click.option("--password-stdin", is_flag=True, help="Read the password from the first line of stdin.")


class Parts(Protocol):
    """What these commands use."""

    @property
    def people(self) -> People: ...


def read_password(from_stdin: bool) -> str:
    """A new password: asked for twice without showing it, or from stdin. A password in an argument would be in logs."""
    if from_stdin:
        return sys.stdin.readline().rstrip("\r\n")
    if not sys.stdin.isatty():
        raise click.UsageError("There is no terminal to ask at: pipe the password in, with --password-stdin.")
    password: str = click.prompt("Password", hide_input=True, confirmation_prompt="The same once more", err=True)
    return password
