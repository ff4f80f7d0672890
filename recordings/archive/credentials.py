"""The application's own credentials: its RSA key, parsed once, and the short-lived JWT made with it.

The private key itself never leaves this module: only signatures made with it do.
"""

from __future__ import annotations

import base64
import codecs
import uuid
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import jwt
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

from recordings.clock import utc_now

_ACCEPTED = "paste the application's private.key (PEM; \\n for line ends is fine), base64 of it, or write its path"


class ApplicationToken:
    """Mints the JWT that authorises a download. Make one and keep it: parsing the key takes 30 ms.

    https://developer.vonage.com/en/getting-started/concepts/authentication#json-web-tokens
    """

    def __init__(
        self,
        application_id: str,
        private_key: RSAPrivateKey,
        *,
        clock: Callable[[], datetime] = utc_now,
        new_id: Callable[[], str] = lambda: str(uuid.uuid4()),
        lifetime: float = 600,
    ) -> None:
        self._application_id = application_id
        self._key = private_key
        self._clock = clock
        self._new_id = new_id
        self._lifetime = timedelta(seconds=lifetime)

    def __repr__(self) -> str:
        return f"ApplicationToken({self._application_id!r})"

    def mint(self) -> str:
        """A fresh token.

        It has no `acl` claim: without one a token may read files, and no documented `acl` path covers them.
        """
        # How much clock skew Vonage tolerates is not documented: date it a little back.
        issued = self._clock() - timedelta(seconds=10)
        claims = {
            "application_id": self._application_id,
            "iat": int(issued.timestamp()),
            "jti": self._new_id(),
            "exp": int((issued + self._lifetime).timestamp()),
        }
        return jwt.encode(claims, self._key, algorithm="RS256")

    def public_pem(self) -> str:
        """The public key, as PEM: a pretend Vonage checks our tokens with it."""
        public_key = self._key.public_key()
        return public_key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode("ascii")


def load_private_key(text: str) -> RSAPrivateKey:
    """The RSA key out of PKCS#1 or PKCS#8, unencrypted, in any of the forms that the setting may have.

    Raises `ValueError`, which says what to write and never quotes the setting. Nor does a frame of its traceback hold
    the setting: error trackers show the variables of frames.
    """
    try:
        return _loaded(text)
    except ValueError as error:
        problem = str(error)
    del text
    raise ValueError(problem)


def _loaded(text: str) -> RSAPrivateKey:
    pem = _pem(text)
    try:
        key = load_pem_private_key(pem.encode("ascii"), password=None)
    except (ValueError, TypeError) as error:  # TypeError: the key is encrypted
        reason = "it is encrypted" if isinstance(error, TypeError) else "it is not a whole PEM private key"
        raise ValueError(f"{reason}: {_ACCEPTED}") from None
    if not isinstance(key, RSAPrivateKey):
        raise ValueError(f"it is no RSA key, and Vonage applications have RSA keys: {_ACCEPTED}")
    return key


def _pem(text: str) -> str:
    text = text.strip().strip("\"'").replace("\\r", "").replace("\\n", "\n").strip()
    if text.startswith("-----BEGIN"):
        return _unfolded(text)
    decoded = _from_base64(text)
    if decoded.startswith("-----BEGIN"):
        return decoded
    return _from_file(text)


def _unfolded(text: str) -> str:
    """Give a PEM its line ends back where a form or a shell turned them into spaces."""
    if "\n" in text or text.count("-----") < 4:
        return text
    head, body, foot = text.split("-----")[1:4]
    return f"-----{head}-----\n" + "\n".join(body.split()) + f"\n-----{foot}-----\n"


def _from_base64(text: str) -> str:
    try:
        return _decoded(base64.b64decode("".join(text.split()), validate=True))
    except ValueError:  # not base64, or base64 of bytes that are no text
        return ""


def _from_file(text: str) -> str:
    try:
        return _decoded(Path(text).expanduser().read_bytes())
    except PermissionError:
        raise ValueError(
            f"the file cannot be read, permission denied: let the user that this app runs as read it, or {_ACCEPTED}"
        ) from None
    except IsADirectoryError:
        raise ValueError(f"it is a folder: {_ACCEPTED}") from None
    except UnicodeDecodeError:
        raise ValueError(f"the file is not a whole PEM private key: {_ACCEPTED}") from None
    except (OSError, ValueError, RuntimeError):  # RuntimeError: there is no home directory
        raise ValueError(f"there is no such file, and it is no key either: {_ACCEPTED}") from None


def _decoded(content: bytes) -> str:
    """The text of a key file. Editors and shells of Windows put a byte-order mark first, or write UTF-16."""
    utf16 = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    return content.decode("utf-16" if utf16 else "utf-8-sig").strip()
