"""Everything that the catalogue keeps for the question who may do what, as one part."""

from __future__ import annotations

from .accounts import Accounts
from .audit import Audit
from .database import Database
from .keys import shared_key
from .sessions import Sessions
from .throttle import Throttle
from .tokens import Tokens


class People:
    """Accounts, tokens, sessions, tries to sign in, audit and shared keys of one database. Nothing is opened here."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.accounts = Accounts(database)
        self.tokens = Tokens(database)
        self.throttle = Throttle(database)
        self.audit = Audit(database)
        self.sessions = Sessions(database)

    def key(self, name: str) -> bytes:
        """A random key that all processes share and that outlives them."""
        return shared_key(self._database, name)
