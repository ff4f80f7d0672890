"""Random keys that all processes share and that outlive them: each is made at its first use and kept in the catalogue.

Whoever can read the catalogue can read them; it holds the recordings' whole history anyhow.
"""

from __future__ import annotations

import secrets

from sqlalchemy import select

from .database import Database
from .tables import keys

_BYTES = 32


def shared_key(database: Database, name: str) -> bytes:
    """The key of this name. Processes that ask for a new one at the same time get the same."""
    query = select(keys.c.value).where(keys.c.name == name)
    with database.read() as connection:
        value = connection.execute(query).scalar()
    if value is None:
        made = database.insert(keys).values(name=name, value=secrets.token_bytes(_BYTES))
        with database.write() as connection:
            connection.execute(made.on_conflict_do_nothing(index_elements=["name"]))
            value = connection.execute(query).scalar_one()
    return bytes(value)
