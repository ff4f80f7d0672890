"""The SDK's client for an Azure storage account, from the text of environment variables.

Nothing here makes a request, and no message quotes a credential.
"""

from __future__ import annotations

import base64
import importlib
import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from recordings.errors import StorageConfigurationError

if TYPE_CHECKING:
    from azure.storage.blob import BlobServiceClient

MIB = 1024 * 1024
LIMITS = {"connection_timeout": 10, "read_timeout": 60}  # seconds


def open_service(env: Mapping[str, str], first_delay: float = 1.0) -> BlobServiceClient:
    """The client: by a connection string; else by the account with a key, a SAS, or the machine's own identity."""
    from azure.storage.blob import BlobServiceClient

    options = _options(first_delay)
    if text := env.get("AZURE_STORAGE_CONNECTION_STRING", "").strip():
        try:
            return BlobServiceClient.from_connection_string(text, **options)
        except (ValueError, KeyError):
            raise StorageConfigurationError(
                "AZURE_STORAGE_CONNECTION_STRING cannot be read. Copy it whole from the portal, Access keys: it begins "
                "with DefaultEndpointsProtocol= or BlobEndpoint=."
            ) from None
    account = (env.get("AZURE_STORAGE_ACCOUNT") or env.get("AZURE_STORAGE_ACCOUNT_NAME") or "").strip()
    if not account:
        raise StorageConfigurationError(
            "Azure Blob Storage needs AZURE_STORAGE_CONNECTION_STRING, or AZURE_STORAGE_ACCOUNT with AZURE_STORAGE_KEY."
        )
    if not account.isascii() or not account.isalnum():
        raise StorageConfigurationError("AZURE_STORAGE_ACCOUNT is the account's bare name, small letters and digits.")
    return BlobServiceClient(f"https://{account}.blob.core.windows.net", _credential(env, account), **options)


def _options(first_delay: float) -> dict[str, Any]:
    from azure.storage.blob import ExponentialRetry

    # At level INFO the SDK logs every request with its headers.
    quiet = logging.getLogger("azure.core.pipeline.policies.http_logging_policy.tapekeeper")
    quiet.setLevel(logging.WARNING)
    # By default the SDK waits 15 to 20 seconds before its first retry; Vonage would cut its connection meanwhile.
    # https://learn.microsoft.com/python/api/azure-storage-blob/azure.storage.blob.exponentialretry
    retry = ExponentialRetry(
        initial_backoff=first_delay,  # type: ignore[arg-type]  # annotated as int, used as a number
        increment_base=2 if first_delay >= 1 else 0,
        random_jitter_range=min(1, first_delay),  # type: ignore[arg-type]  # as above
        retry_total=4,
    )
    # A download holds several times these sizes in memory; the SDK's defaults are 4 and 32 MiB.
    return {**LIMITS, "retry_policy": retry, "logger": quiet, "max_chunk_get_size": MIB, "max_single_get_size": MIB}


def _credential(env: Mapping[str, str], account: str) -> Any:
    from azure.core.credentials import AzureNamedKeyCredential, AzureSasCredential

    if key := env.get("AZURE_STORAGE_KEY", "").strip():
        try:
            base64.b64decode(key, validate=True)
        except ValueError:
            raise StorageConfigurationError(
                "AZURE_STORAGE_KEY is not base64. Copy one of the two keys of the account from the portal, Access keys."
            ) from None
        return AzureNamedKeyCredential(account, key)
    if token := env.get("AZURE_STORAGE_SAS_TOKEN", "").strip():
        return AzureSasCredential(token.lstrip("?"))
    return _identity()


def _identity() -> Any:
    try:
        identity = importlib.import_module("azure.identity")  # an optional extra, perhaps not installed
    except ImportError:
        raise StorageConfigurationError(
            "AZURE_STORAGE_ACCOUNT is set without AZURE_STORAGE_KEY or AZURE_STORAGE_SAS_TOKEN. Set one of them; or, "
            "for the machine's own identity, add azure-identity to what is installed: pip install azure-identity."
        ) from None
    return identity.DefaultAzureCredential()
