"""As whom a command acts: what the audit notes of it."""

from __future__ import annotations

import getpass

from recordings.access import Actor, Role, clean_name
from recordings.errors import InvalidInput


def acting() -> Actor:
    """The user of the shell, who may do everything: whoever runs a command can read the database, too."""
    try:
        name = clean_name(getpass.getuser())
    except (InvalidInput, ImportError, KeyError, OSError):  # a container's user often has no name
        name = "unknown"
    return Actor(name, Role.ADMIN, None, "command")
