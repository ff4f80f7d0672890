"""API tokens: the programs that may ask, with their roles. A token is shown once; only its SHA-256 is kept.

A token is random, so a slow hash would protect it no better. Its prefix lets scanners for secrets know it.
https://docs.github.com/en/code-security/secret-scanning/introduction/about-secret-scanning
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Row, delete, select, update

from recordings.access import Action, Actor, Role, clean_name
from recordings.clock import utc_now
from recordings.errors import CatalogueUnavailable, InvalidInput
from recordings.timeouts import Deadline

from .audit import add_entry
from .database import Database
from .tables import tokens

PREFIX = "tk_"
_FORM = re.compile(rf"{PREFIX}[A-Za-z0-9_-]{{43}}")
_NOTED = timedelta(minutes=1)  # between two writes of a token's last use

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Token:
    """What is known of a token: never the token itself. `id` is that of its row."""

    id: int
    name: str
    role: Role
    created_at: datetime
    last_used_at: datetime | None


class Tokens:
    """The tokens in one database. Whoever adds or revokes one is noted in the audit, in the same transaction.

    Raises `InvalidInput`, and `CatalogueUnavailable` as the database does.
    """

    def __init__(self, database: Database, *, clock: Callable[[], datetime] = utc_now) -> None:
        self.database = database
        self._clock = clock

    def any(self) -> bool:
        """Whether there is a token at all."""
        with self.database.read() as connection:
            return connection.execute(select(tokens.c.id).limit(1)).first() is not None

    def list(self) -> list[Token]:
        """All tokens, by name."""
        with self.database.read() as connection:
            return [_token(row) for row in connection.execute(select(tokens).order_by(tokens.c.name))]

    def in_row(self, row_id: int) -> Token | None:
        """The token in this row; None: there is none."""
        with self.database.read() as connection:
            row = connection.execute(select(tokens).where(tokens.c.id == row_id)).first()
        return None if row is None else _token(row)

    def create(self, name: str, role: Role, *, by: Actor) -> str:
        """Add a token and return it: nobody can show it again."""
        return self.add(name, role, by=by)[1]

    def add(self, name: str, role: Role, *, by: Actor) -> tuple[Token, str]:
        """Add a token; what is known of it, and the token itself: nobody can show it again."""
        name, text, now = clean_name(name), PREFIX + secrets.token_urlsafe(32), self._clock()
        row = {"name": name, "role": role.word, "digest": _digest(text), "created_at": now}
        statement = self.database.insert(tokens).values(row).on_conflict_do_nothing(index_elements=["name"])
        with self.database.write() as connection:
            added = connection.execute(statement.returning(tokens)).first()
            if added is None:
                raise InvalidInput(
                    f"There is a token {name} already. Choose another name, or: flask tokens revoke {name}"
                )
            add_entry(connection, by, Action.TOKEN_ADDED, now, detail=f"{name}, {role.word}")
        return _token(added), text

    def find(self, text: str) -> Token | None:
        """What is known of the token that somebody shows; None where it is none of ours."""
        if not _FORM.fullmatch(text):
            return None
        digest = _digest(text)
        with self.database.read() as connection:
            row = connection.execute(select(tokens).where(tokens.c.digest == digest)).first()
        if row is None or not hmac.compare_digest(row.digest, digest):
            return None
        self._note_use(row.id, row.last_used_at)
        return _token(row)

    def revoke(self, name: str, *, by: Actor) -> None:
        """Remove a token: from now on it opens nothing."""
        name = clean_name(name)
        with self.database.write() as connection:
            if not connection.execute(delete(tokens).where(tokens.c.name == name)).rowcount:
                raise InvalidInput(f"There is no token {name}. See all with: flask tokens list")
            add_entry(connection, by, Action.TOKEN_REVOKED, self._clock(), detail=name)

    def _note_use(self, token_id: int, last_used_at: datetime | None) -> None:
        """Write the last use, at most once a minute. A program that asks often must not keep the database writing."""
        now = self._clock()
        if last_used_at is not None and now - last_used_at < _NOTED:
            return
        try:
            with self.database.write(Deadline(1.0)) as connection:
                connection.execute(update(tokens).where(tokens.c.id == token_id).values(last_used_at=now))
        except CatalogueUnavailable as error:
            log.warning("The last use of a token is not noted, and the request goes on: %s", error)


def _token(row: Row[Any]) -> Token:
    return Token(row.id, row.name, Role.of(row.role), row.created_at, row.last_used_at)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
