"""Accounts: the people who may sign in, with their roles. Passwords are kept as hashes; see `recordings.passwords`."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, delete, select, update

from recordings.access import Action, Actor, Role, clean_name
from recordings.clock import utc_now
from recordings.errors import InvalidInput
from recordings.passwords import fits, hash_password

from .audit import add_entry
from .database import Database
from .tables import accounts

RESERVED = "admin"  # the name of whoever signs in by CONSOLE_PASSWORD


@dataclass(frozen=True, slots=True)
class Account:
    """One person. `generation` is another one after each change of the password: sessions of before are over.

    Without a password only a single sign-on proxy lets the person in. `id` is that of its row.
    """

    id: int
    name: str
    role: Role
    generation: str
    has_password: bool
    created_at: datetime


class Accounts:
    """The accounts in one database. Whoever changes one is noted in the audit, in the same transaction.

    Raises `InvalidInput`, and `CatalogueUnavailable` as the database does.
    """

    def __init__(self, database: Database, *, clock: Callable[[], datetime] = utc_now) -> None:
        self.database = database
        self._clock = clock

    def any(self) -> bool:
        """Whether there is an account at all."""
        with self.database.read() as connection:
            return connection.execute(select(accounts.c.id).limit(1)).first() is not None

    def list(self) -> list[Account]:
        """All accounts, by name."""
        with self.database.read() as connection:
            return [_account(row) for row in connection.execute(select(accounts).order_by(accounts.c.name))]

    def find(self, name: str) -> Account | None:
        """The account of this name, which may be written in any case."""
        row = self._row(name)
        return None if row is None else _account(row)

    def in_row(self, row_id: int) -> Account | None:
        """The account in this row; None: there is none."""
        with self.database.read() as connection:
            row = connection.execute(select(accounts).where(accounts.c.id == row_id)).first()
        return None if row is None else _account(row)

    def check(self, name: str, password: str) -> Account | None:
        """The account, if this is its password. An unknown name takes as long as a wrong password."""
        row = self._row(name)
        right = fits(password, None if row is None else row.password_hash)
        return _account(row) if row is not None and right else None

    def add(self, name: str, role: Role, password: str | None, *, by: Actor) -> Account:
        """Add an account."""
        name = clean_name(name)
        if name == RESERVED:
            raise InvalidInput(
                f"{RESERVED} is the name of whoever signs in by CONSOLE_PASSWORD: choose another, such as a person's."
            )
        values = {
            "name": name,
            "role": role.word,
            "password_hash": None if password is None else hash_password(password),
            "generation": _new_generation(),
            "created_at": self._clock(),
        }
        statement = self.database.insert(accounts).values(values).on_conflict_do_nothing(index_elements=["name"])
        with self.database.write() as connection:
            row = connection.execute(statement.returning(accounts)).first()
            if row is None:
                raise InvalidInput(f"There is an account {name} already. Change it with: flask accounts role {name} …")
            self._note(connection, by, Action.ACCOUNT_ADDED, f"{name}, {role.word}")
            return _account(row)

    def set_role(self, name: str, role: Role, *, by: Actor) -> None:
        """Give an account another role, from its next request on."""
        self._change(name, by, Action.ACCOUNT_ROLE, f", {role.word}", role=role.word)

    def set_password(self, name: str, password: str, *, by: Actor) -> None:
        """Give an account another password. All its sessions end."""
        new_hash = hash_password(password)
        self._change(name, by, Action.ACCOUNT_PASSWORD, "", password_hash=new_hash, generation=_new_generation())

    def remove(self, name: str, *, by: Actor) -> None:
        """Remove an account. All its sessions end; what it did stays in the audit."""
        name = clean_name(name)
        with self.database.write() as connection:
            if not connection.execute(delete(accounts).where(accounts.c.name == name)).rowcount:
                raise _unknown(name)
            self._note(connection, by, Action.ACCOUNT_REMOVED, name)

    def _change(self, name: str, by: Actor, action: Action, detail: str, **values: str) -> None:
        name = clean_name(name)
        with self.database.write() as connection:
            if not connection.execute(update(accounts).where(accounts.c.name == name).values(values)).rowcount:
                raise _unknown(name)
            self._note(connection, by, action, name + detail)

    def _note(self, connection: Connection, by: Actor, action: Action, detail: str) -> None:
        add_entry(connection, by, action, self._clock(), detail=detail)

    def _row(self, name: str) -> Row[Any] | None:
        try:
            name = clean_name(name)
        except InvalidInput:
            name = ""  # the name of nobody, which is looked for all the same
        with self.database.read() as connection:
            return connection.execute(select(accounts).where(accounts.c.name == name)).first()


def _account(row: Row[Any]) -> Account:
    return Account(row.id, row.name, Role.of(row.role), row.generation, row.password_hash is not None, row.created_at)


def _unknown(name: str) -> InvalidInput:
    return InvalidInput(f"There is no account {name}. See all with: flask accounts list")


def _new_generation() -> str:
    return secrets.token_hex(16)
