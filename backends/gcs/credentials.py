"""Google credentials from the text of environment variables, as platforms without files hand them over.

Nothing here makes a request, and no message quotes a credential.
"""
# Google's libraries have types in part only.
# mypy: allow-untyped-calls

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Any

from recordings.errors import StorageConfigurationError

SCOPE = "https://www.googleapis.com/auth/devstorage.read_write"
INLINE = ("GOOGLE_APPLICATION_CREDENTIALS_JSON", "GOOGLE_CREDENTIALS")


def find_credentials(env: Mapping[str, str]) -> Any:
    """Credentials from the environment's text; None where Google's library finds them: a file, a machine's account."""
    for name in INLINE:
        if value := env.get(name, "").strip():
            return _from_info(name, _parsed(name, value))
    if env.get("GOOGLE_APPLICATION_CREDENTIALS", "").lstrip().startswith("{"):
        raise StorageConfigurationError(
            "GOOGLE_APPLICATION_CREDENTIALS holds a key itself, but Google reads it as the path of a file. "
            f"Put the key into {INLINE[0]} and remove GOOGLE_APPLICATION_CREDENTIALS."
        )
    return None


def _parsed(name: str, value: str) -> dict[str, Any]:
    try:
        text = value if value.startswith("{") else base64.b64decode("".join(value.split()), validate=True).decode()
        info = json.loads(text, strict=False)  # not strict: a shell may have turned \n into real line breaks
    except ValueError:
        info = None
    if not isinstance(info, dict):
        raise StorageConfigurationError(
            f"{name} is neither the JSON of a key nor base64 of it. Paste Google's whole file, {{ to }}."
        )
    return info


def _from_info(name: str, info: dict[str, Any]) -> Any:
    # One loader for each type: Google's loader for all types is deprecated as unsafe for credentials from outside.
    # https://cloud.google.com/docs/authentication/external/externally-sourced-credentials
    from google.auth import identity_pool
    from google.oauth2 import service_account

    try:
        if info.get("type") == "service_account":
            # Some control panels double the backslashes: the PEM then has \n in place of its line breaks.
            info = {**info, "private_key": str(info.get("private_key", "")).replace("\\n", "\n")}
            return service_account.Credentials.from_service_account_info(info, scopes=[SCOPE])
        if info.get("type") == "external_account":
            return identity_pool.Credentials.from_info(info, scopes=[SCOPE])
    except (ValueError, KeyError, TypeError, AttributeError):
        raise StorageConfigurationError(
            f"{name} cannot be used: a field is missing or the private key is damaged. Paste Google's whole file."
        ) from None
    raise StorageConfigurationError(
        f"{name} holds credentials of type {str(info.get('type'))[:40]!r}; service_account and external_account are "
        "read here. For others set GOOGLE_APPLICATION_CREDENTIALS to the path of the file."
    )
