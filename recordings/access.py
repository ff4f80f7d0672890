"""Who may do what, in words: roles, the person or program that acts, the actions that are noted, and names.

Here live no passwords and no SQL: hashes are in `passwords`, accounts and tokens in the catalogue.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import Literal

from .errors import InvalidInput

MAX_NAME = 100


class Role(IntEnum):
    """What somebody may do. Each role includes the former ones."""

    VIEWER = 1  # sees
    LISTENER = 2  # hears and downloads
    OPERATOR = 3  # retries, replays, mends
    ADMIN = 4  # manages accounts and tokens

    @property
    def word(self) -> str:
        """The role as it is written in texts, such as `viewer`."""
        return self.name.lower()

    @classmethod
    def of(cls, word: str) -> Role:
        """The role of this word. Raises `InvalidInput`."""
        try:
            return cls[word.strip().upper()]
        except KeyError:
            raise InvalidInput(f"There is no such role: write one of {', '.join(role.word for role in cls)}.") from None


Kind = Literal["account", "token", "proxy", "demo", "command"]


@dataclass(frozen=True, slots=True)
class Actor:
    """The person or program that acts. `address` is the IP address it acts from; None for a command.

    `kind` says how it is known: by a password, a token, a single sign-on proxy, the demo's open door, or the shell.
    """

    name: str
    role: Role
    address: str | None
    kind: Kind

    def may(self, role: Role) -> bool:
        """Whether the role of the actor includes this one."""
        return self.role >= role


class Action(StrEnum):
    """What the audit notes."""

    PLAY = "play"
    DOWNLOAD = "download"
    EXPORT = "export"
    RETRY = "retry"
    REPLAY = "replay"
    ADOPT = "adopt"
    SET_ASIDE = "set aside"
    EXAMINE = "examine"
    SIGN_IN = "sign-in"
    SIGN_IN_FAILED = "failed sign-in"
    SIGN_OUT = "sign-out"
    ACCOUNT_ADDED = "account added"
    ACCOUNT_ROLE = "account role changed"
    ACCOUNT_PASSWORD = "account password changed"  # noqa: S105 - a name, not a password
    ACCOUNT_REMOVED = "account removed"
    TOKEN_ADDED = "token added"  # noqa: S105
    TOKEN_REVOKED = "token revoked"  # noqa: S105


def clean_name(text: str) -> str:
    """The name of a person or a token as it is compared and kept: in small letters. Raises `InvalidInput`."""
    name = unicodedata.normalize("NFKC", text).strip().casefold()
    if not 0 < len(name) <= MAX_NAME or not name.isprintable() or any(sign.isspace() or sign in ",;:" for sign in name):
        raise InvalidInput(
            f"A name has 1 to {MAX_NAME} characters, without spaces, commas, colons and semicolons: write one such as "
            "anna or anna@example.com."
        )
    return name
