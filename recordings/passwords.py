"""How a password is kept: as its scrypt hash, in the text form that `werkzeug.security` writes too.

`scrypt:N:r:p$salt$hash`, the hash in hex. One check takes about 0.16 s and 32 MiB, so that few of them run at a time.
https://cheatsheetseries.owasp.org/cheatsheets/Password_Storage_Cheat_Sheet.html#scrypt
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import threading
import unicodedata

from .errors import InvalidInput

LEAST_LENGTH, MAX_LENGTH = 12, 1000
_COST = (2**15, 8, 1)
_AT_ONCE = threading.BoundedSemaphore(2)  # in one process: sixteen at once would take 512 MiB


def hash_password(password: str) -> str:
    """What may be kept of a new password. Raises `InvalidInput` for one that is too short or too long."""
    if not LEAST_LENGTH <= len(password) <= MAX_LENGTH:
        raise InvalidInput(f"Choose a password of {LEAST_LENGTH} to {MAX_LENGTH} characters.")
    salt = secrets.token_hex(16)
    return "$".join([":".join(["scrypt", *map(str, _COST)]), salt, _scrypt(password, salt, *_COST)])


def fits(password: str, password_hash: str | None) -> bool:
    """Whether this is the password of that hash. Without a hash: no, after the same work."""
    method, salt, digest = (password_hash or ":".join(["scrypt", *map(str, _COST)]) + "$no-salt$no-hash").split("$")
    cost, block_size, parallel = map(int, method.split(":")[1:])
    return hmac.compare_digest(_scrypt(password[:MAX_LENGTH], salt, cost, block_size, parallel), digest)


def _scrypt(password: str, salt: str, cost: int, block_size: int, parallel: int) -> str:
    # Keyboards differ in how they compose a letter with its accent.
    text = unicodedata.normalize("NFKC", password).encode("utf-8", "surrogatepass")
    memory = 132 * cost * block_size * parallel
    with _AT_ONCE:
        return hashlib.scrypt(text, salt=salt.encode(), n=cost, r=block_size, p=parallel, maxmem=memory).hex()
